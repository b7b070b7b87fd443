//! The protocol's decoder, in both directions: what decodes encodes to the same bytes, however it is cut up, and memory
//! stays within the limit of one frame.
#![no_main]

use ampoule_protocol::{
    Decoder, Encoder, Frame, GuestMessage, HEADER_LEN, HostMessage, MAX_DATA, Message, decode,
};
use libfuzzer_sys::fuzz_target;

fn run<M: Message + PartialEq + std::fmt::Debug>(step: usize, bytes: &[u8]) {
    let mut whole = Vec::new();
    let mut at = 0;
    while let Ok(Some((frame, len))) = decode::<M>(&bytes[at..]) {
        assert!(len >= HEADER_LEN && len <= bytes.len() - at);
        check_round_trip(&frame);
        whole.push(format!("{frame:?}"));
        at += len;
    }
    // The same stream in pieces gives the same frames.
    let mut decoder = Decoder::<M>::default();
    let (mut pieces, mut left, mut broken) = (Vec::new(), bytes, false);
    while !left.is_empty() && !broken {
        let taken = decoder.push(&left[..step.min(left.len())]);
        left = &left[taken..];
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => pieces.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        assert!(decoder.capacity() <= 2 * (HEADER_LEN + M::MAX_BODY.max(MAX_DATA)) + MAX_DATA);
        assert!(taken > 0 || broken, "a decoder that takes nothing and gives nothing");
    }
    assert_eq!(whole, pieces);
}

fn check_round_trip<M: Message + PartialEq + std::fmt::Debug>(frame: &Frame<'_, M>) {
    let Frame::Message(message) = frame else { return };
    let mut encoder = Encoder::<M>::default();
    encoder.message(message).expect("what was decoded can be said");
    match decode::<M>(encoder.pending()) {
        Ok(Some((Frame::Message(again), _))) => assert_eq!(&again, message),
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|data: (u8, &[u8])| {
    let (step, bytes) = data;
    let step = usize::from(step) + 1;
    run::<GuestMessage>(step, bytes);
    run::<HostMessage>(step, bytes);
});
