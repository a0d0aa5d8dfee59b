"""luxusbd: the service that turns USB sticks into multi-boot sticks."""

__version__ = "0.1.0"
