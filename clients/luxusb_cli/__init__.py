"""The luxusb command: talks D-Bus to luxusbd and shows what it says."""
