"""What tests and the demo share: real images, mirrors on loopback, and a virtual machine that boots a stick."""
