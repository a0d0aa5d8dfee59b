"""The submenu of tools: what the boot menu offers besides images."""

from __future__ import annotations


def tools() -> list[str]:
    """The submenu as lines of GRUB script."""
    return [
        "submenu 'Tools' --id tools {",
        "  menuentry 'Restart' --id reboot {",
        "    reboot",
        "  }",
        "  menuentry 'Power off' --id poweroff {",
        "    halt",
        "  }",
        '  if [ "$grub_platform" = efi ]; then',
        "    menuentry 'Firmware setup' --id firmware-setup {",
        "      fwsetup",
        "    }",
        '    if [ -e "$cmdpath/mmx64.efi" ]; then',
        "      menuentry 'Enrol keys for Secure Boot' --id mok-manager {",
        '        chainloader "$cmdpath/mmx64.efi"',
        "      }",
        "    fi",
        "  fi",
        "}",
    ]
