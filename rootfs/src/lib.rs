//! ampoule-rootfs.
