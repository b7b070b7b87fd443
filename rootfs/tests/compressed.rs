//! Archives that gzip, zstd and xz compressed: those in `tests/data`, each `hello` of one archive, and damaged ones.

mod common;

use std::io::Cursor;

use ampoule_rootfs::{Error, ImageInfo, Options, Source};
use common::{build_image, try_build};

const PLAIN: &[u8] = include_bytes!("data/hello.tar");
const GZIP: &[u8] = include_bytes!("data/hello.tar.gz");
const XZ: &[u8] = include_bytes!("data/hello.tar.xz");
const ZSTD: &[u8] = include_bytes!("data/hello.tar.zst");

fn source(bytes: &[u8]) -> Source<'static> {
    Source::Tar(Box::new(Cursor::new(bytes.to_vec())))
}

fn image_of(bytes: &[u8]) -> ImageInfo {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    build_image(source(bytes), &scratch.path().join("image"), Options::default())
}

fn refusal(bytes: &[u8]) -> Error {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    try_build(source(bytes), &scratch.path().join("image"), Options::default()).expect_err("a refusal")
}

#[test]
fn every_compression_gives_the_same_image() {
    let plain = image_of(PLAIN);
    assert_eq!((plain.files, plain.inodes), (2, 4));
    for compressed in [GZIP, XZ, ZSTD] {
        assert_eq!(image_of(compressed), plain);
    }
}

#[test]
fn several_members_are_one_stream() {
    let plain = image_of(PLAIN);
    let (first, second) = PLAIN.split_at(700);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).expect("compressed data");
        encoder.finish().expect("compressed data")
    };
    assert_eq!(image_of(&[gzip(first), gzip(second)].concat()), plain);
    let zstd = |bytes| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let skippable = b"\x53\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    assert_eq!(image_of(&[skippable.clone(), zstd(first), skippable, zstd(second)].concat()), plain);
}

#[test]
fn damage_is_found() {
    for compressed in [GZIP, XZ, ZSTD] {
        for at in [compressed.len() / 2, compressed.len() - 1] {
            let cut = compressed.get(..at).expect("a part");
            assert!(matches!(refusal(cut), Error::Io { .. } | Error::BadTar { .. }), "cut at {at}");
        }
    }
    // In the checksum at the end of each: the data itself is whole.
    for (compressed, from_end) in [(GZIP, 6), (ZSTD, 2)] {
        let mut flipped = compressed.to_vec();
        let at = flipped.len() - from_end;
        flipped[at] ^= 0x10;
        assert!(matches!(refusal(&flipped), Error::Io { .. }), "a wrong checksum was not noticed");
    }
}

#[test]
fn a_dictionary_beyond_all_bounds_is_refused() {
    // A zstd frame that wants a window of 3.75 TiB, then an xz block with a dictionary of 4 GiB.
    let zstd = [&b"\x28\xb5\x2f\xfd\x00\xff"[..], &[0; 64]].concat();
    assert!(matches!(refusal(&zstd), Error::Io { .. }));
    let at = XZ.windows(2).position(|pair| pair == [0x21, 0x01]).expect("an LZMA2 filter") + 2;
    let mut xz = XZ.to_vec();
    xz[at] = 40;
    // The block header's own checksum: its length is in its first byte, in words.
    let header = 12..12 + usize::from(xz[12]) * 4;
    let mut crc = flate2::Crc::new();
    crc.update(&xz[header.clone()]);
    xz[header.end..header.end + 4].copy_from_slice(&crc.sum().to_le_bytes());
    let error = refusal(&xz).to_string();
    assert!(error.contains("memory"), "{error}");
}
