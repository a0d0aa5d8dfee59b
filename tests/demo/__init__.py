"""`make demo`: three real systems travel through the service onto a stick image, which then boots."""
