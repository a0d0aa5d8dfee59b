"""Systems whose way of starting is their own, and programs that need no Linux."""

from __future__ import annotations

from collections.abc import Iterator

from tests.images.systems.row import DEBIAN, K, Row, kernel

MX_WORDS = "fromiso={iso} from=hd,usb buuid={data_uuid} quiet splasht nosplash"


def antix_family() -> Iterator[Row]:
    for name, version, label, text, filesystems in (
        ("MX Linux", "21.3", "MX-Live", "MX-21.3_x64 Wildflower January 15, 2023", "ext4 fat32"),
        ("MX Linux", "23.4", "MX-Live", "MX-23.4_x64 Libretto September 15, 2024", "exfat ext4 fat32"),
        ("antiX", "23.1", "antiX-Live", "antiX-23.1_x64-full Arditi del Popolo 24 February 2024", "ext4 fat32"),
    ):
        yield Row(
            name,
            version,
            label,
            {"/antiX/linuxfs": "", "/antiX/vmlinuz": kernel(DEBIAN), "/antiX/initrd.gz": "", "/version": text},
            "antix-mx",
            "/antiX/vmlinuz",
            "/antiX/initrd.gz",
            MX_WORDS,
            filesystems,
            "bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
            "debian",
            "toram",
            "own persist_all",
        )


def single() -> Iterator[Row]:
    init = "/nix/store/0c5gnqs4mrmk0gajdgzblh3q8d9f1dq9-nixos-system-nixos-24.05/init"
    yield Row(
        "NixOS",
        "24.05",
        "nixos-24.05-x86_64",
        {
            "/nix-store.squashfs": "",
            "/version.txt": "24.05.1234",
            "/boot/bzImage": K,
            "/boot/initrd": "",
            "/boot/grub/loopback.cfg": "source /EFI/boot/grub.cfg",
            "/EFI/boot/grub.cfg": f"linux /boot/bzImage ${{isoboot}} init={init}  root=LABEL=nixos-24.05-x86_64 quiet",
        },
        "nixos",
        "/boot/bzImage",
        "/boot/initrd",
        f"findiso={{iso}} init={init} root=LABEL={{volume_id}}",
        "ext4 fat32",
        entry=1,
    )
    yield Row(
        "NixOS",
        "26.05",
        "nixos-minimal-26.05-x86_64",
        {"/nix-store.squashfs": "", "/boot/bzImage": K, "/boot/initrd": "", "/boot/grub/loopback.cfg": ""},
        "nixos",
        reason="NixOS 26.05 and later start with an initrd of systemd",
    )
    yield Row(
        "PCLinuxOS",
        "2024.02",
        "PCLinuxOS 2024.02",
        {"/livecd.sqfs": "", "/isolinux/vmlinuz": K, "/isolinux/initrd.gz": ""},
        "pclinuxos",
        "/isolinux/vmlinuz",
        "/isolinux/initrd.gz",
        "bootfromiso={iso} root=UUID={data_uuid} livecd=livecd",
        "ext4 fat32",
        toram="copy2ram",
    )
    yield Row(
        "Mageia network installer",
        "9",
        "Mageia-9-netinstall",
        {"/isolinux/x86_64/vmlinuz": K, "/isolinux/x86_64/all.rdz": ""},
        "mageia-netinstall",
        "/isolinux/x86_64/vmlinuz",
        "/isolinux/x86_64/all.rdz",
        "quiet",
        toram="always",
    )
    yield Row(
        "Mageia",
        "9",
        "Mageia-9-Live-Plasma-x86_64",
        {"/loopbacks/distrib-lzma.sqfs": "", "/boot/vmlinuz": K, "/boot/cdrom/initrd.gz": ""},
        "mageia",
        reason="look for a disc or a partition with their label",
    )
    yield Row("AerynOS", "2025.03", "AERYNOS_2025.03", {"/EFI/x": ""}, "aerynos", reason="in a second partition")
    yield Row(
        "Slackware Live",
        "15.0",
        "LIVESLAK",
        {"/liveslak/.isoversion": "15.0", "/boot/generic": K, "/boot/initrd.img": ""},
        "slackware-live",
        "/boot/generic",
        "/boot/initrd.img",
        "livemedia=/dev/disk/by-uuid/{data_uuid}:{iso} load_ramdisk=1 prompt_ramdisk=0 rw printk.time=0 kbd=us tz=UTC"
        " locale=en_US.utf8",
        "ext4 fat32 ntfs",
        toram="toram",
    )
    yield Row(
        "Slackware installer",
        "15.0",
        "SlackDVD",
        {"/kernels/huge.s/bzImage": K, "/isolinux/initrd.img": "", "/ANNOUNCE.15.0": ""},
        "slackware-install",
        "/kernels/huge.s/bzImage",
        "/isolinux/initrd.img",
        "load_ramdisk=1 prompt_ramdisk=0 rw printk.time=0 SLACK_KERNEL=huge.s",
    )
    slax = "from={iso} load_ramdisk=1 prompt_ramdisk=0 rw"
    slax_keeps = "directory slax.flags=perch perchdir={persistence}"
    yield Row(
        "Slax",
        "12.2.0",
        "Slax 12.2.0",
        {"/slax/boot/vmlinuz": K, "/slax/boot/initrfs.img": "", "/slax/01-core.sb": ""},
        "slax",
        "/slax/boot/vmlinuz",
        "/slax/boot/initrfs.img",
        slax,
        "ext4 fat32",
        toram="slax.flags=toram",
        persistence=slax_keeps,
    )
    yield Row(
        "MiniOS",
        "4.0.2",
        "MINIOS 4.0.2",
        {"/minios/boot/vmlinuz": K, "/minios/boot/initrfs.img": "", "/minios/00-core.sb": ""},
        "slax",
        "/minios/boot/vmlinuz",
        "/minios/boot/initrfs.img",
        slax,
        "ext4 fat32",
        toram="slax.flags=toram",
        persistence=slax_keeps,
    )
    for name, base, initrd in (("Porteus", "porteus", "initrd.xz"), ("PorteuX", "porteux", "initrd.zst")):
        yield Row(
            name,
            "5.01",
            f"{name} 5.01",
            {f"/{base}/base/000-kernel.xzm": "", "/boot/syslinux/vmlinuz": K, f"/boot/syslinux/{initrd}": ""},
            "porteus",
            "/boot/syslinux/vmlinuz",
            f"/boot/syslinux/{initrd}",
            "from={iso}",
            "ext4 fat32",
            toram="copy2ram",
            persistence="directory changes={persistence}",
        )
    for name, folder, files in (
        ("Tiny Core", "/cde", ("/boot/vmlinuz64", "/boot/corepure64.gz")),
        ("CorePlus", "/cde", ("/boot/vmlinuz", "/boot/core.gz")),
        ("Core", "", ("/boot/vmlinuz", "/boot/core.gz")),
    ):
        config = {"/boot/isolinux/isolinux.cfg": "LABEL CorePlus"} if name == "CorePlus" else {}
        yield Row(
            name,
            "15.0",
            name.replace(" ", ""),
            {
                files[0]: K,
                files[1]: "",
                "/boot/isolinux/boot.msg": f"{name} 15.0",
                **({f"{folder}/onboot.lst": ""} if folder else {}),
                **config,
            },
            "tinycore" if folder else "core",
            *files,
            "iso=UUID={data_uuid}{iso} loglevel=3 cde waitusb=5" if folder else "loglevel=3",
            "ext4 fat32" if folder else "",
            toram="always",
        )
    yield Row(
        "KNOPPIX",
        "9.1",
        "KNOPPIX_9.1",
        {"/KNOPPIX/KNOPPIX": "", "/boot/isolinux/linux64": K, "/boot/isolinux/minirt.gz": ""},
        "knoppix",
        "/boot/isolinux/linux64",
        "/boot/isolinux/minirt.gz",
        "bootfrom=/mnt-iso{iso} lang=en apm=power-off nomce",
        "ext4 fat32 ntfs",
        toram="toram",
    )
    yield Row(
        "Parted Magic",
        "2024_01_02",
        "PMAGIC",
        {
            "/pmagic/bzImage": K,
            "/pmagic/initrd.img": "",
            "/pmagic/fu.img": "",
            "/pmagic/m.img": "",
            "/pmagic/pmodules/PMAGIC_2024_01_02.SQFS": "",
        },
        "parted-magic",
        "/pmagic/bzImage",
        "/pmagic/initrd.img /pmagic/fu.img /pmagic/m.img",
        "uuid={data_uuid} iso_filename={iso} boot=live eject=no",
        "exfat ext4 fat32",
    )
    for name, label in (("iPXE", "iPXE"), ("netboot.xyz", "netboot.xyz")):
        yield Row(name, "", label, {"/ipxe.krn": K}, "ipxe", "/ipxe.krn", firmware="bios", method="linux16")
    yield Row(
        "FreeDOS",
        "13",
        "FD13LIVE",
        {"/isolinux/isolinux.bin": "", "/FREEDOS/BIN/COMMAND.COM": ""},
        "freedos",
        "/isolinux/isolinux.bin",
        firmware="bios",
        method="memdisk",
        toram="always",
        architecture="i386",
    )
    yield Row(
        "Memtest86+",
        "",
        "MT86PLUS_64",
        {"/EFI/BOOT/bootx64.efi": K, "/boot/floppy.img": K},
        "memtest86plus",
        "/boot/floppy.img",
        firmware="bios",
        method="linux16",
        toram="always",
    )
    yield Row(
        "GRUB rescue",
        "",
        "ISOIMAGE",
        {"/boot/grub/grub.cfg": "#\n# Sample GRUB configuration file\n#", "/boot/grub/i386-pc/eltorito.img": ""},
        "grub-rescue",
        "/boot/grub/grub.cfg",
        firmware="bios",
        method="configfile",
        architecture="i386",
    )
    yield Row(
        "Debian network installer",
        "12",
        "MINI",
        {"/linux": kernel(DEBIAN), "/initrd.gz": "", "/.disk/mini-info": "Debian 12"},
        "debian-netboot",
        "/linux",
        "/initrd.gz",
        "vga=788 --- quiet",
        firmware="bios uefi uefi-ia32 uefi-ia32-sb uefi-sb",
        signer="debian",
        toram="always",
    )
    yield Row(
        "Live system",
        "",
        "",
        {"/boot/grub/loopback.cfg": "menuentry x { echo }"},
        "loopback-cfg",
        "/boot/grub/loopback.cfg",
        filesystems="ext4 fat32",
        method="loopback-cfg",
        architecture="",
    )
