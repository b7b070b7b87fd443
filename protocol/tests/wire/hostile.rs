//! Hostile bytes: each kind of violation has its own error, and nothing panics or takes memory that was not sent.

use crate::samples;
use ampoule_protocol::bounded::{MAX_CBYTES, MAX_STRINGS, MAX_TEXT};
use ampoule_protocol::*;
use proptest::prelude::*;

fn message_frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![frame::MAGIC, VERSION, 0, 0];
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

fn error<M: Message + std::fmt::Debug>(bytes: &[u8]) -> Error {
    let mut decoder = Decoder::<M>::new();
    decoder.push(bytes);
    let error = decoder.next_frame().unwrap_err();
    assert_eq!(decoder.next_frame().unwrap_err(), error, "errors stay");
    assert!(!decoder.is_at_boundary());
    error
}

fn ping() -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.message(&HostMessage::Ping { token: 5 }).unwrap();
    encoder.pending().to_vec()
}

fn data(stream: Stream) -> Vec<u8> {
    let mut frame = frame::data_header(stream, 3).unwrap().to_vec();
    frame.extend(b"abc");
    frame
}

fn altered(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    frame[at] = value;
    frame
}

#[test]
fn each_violation_has_its_error() {
    let stdin = data(Stream::Stdin(samples::job(1)));
    assert_eq!(error::<HostMessage>(b"GET"), Error::BadMagic { found: b'G' });
    assert_eq!(error::<HostMessage>(&[frame::MAGIC, 1]), Error::BadVersion { found: 1 });
    assert_eq!(
        error::<HostMessage>(&altered(ping(), 3, 9)),
        Error::BadHeader { field: "reserved", value: 9 }
    );
    assert_eq!(error::<HostMessage>(&altered(ping(), 8, 1)), Error::BadHeader { field: "id", value: 1 });
    assert_eq!(
        error::<HostMessage>(&altered(stdin.clone(), 8, 0)),
        Error::BadHeader { field: "id", value: 0 }
    );
    assert_eq!(error::<HostMessage>(&altered(ping(), 2, 5)), Error::BadKind { kind: 5 });
    assert_eq!(error::<GuestMessage>(&stdin), Error::BadKind { kind: 1 });
    assert_eq!(error::<HostMessage>(&data(Stream::Stdout(samples::job(1)))), Error::BadKind { kind: 2 });
    assert_eq!(error::<HostMessage>(&data(Stream::Stderr(samples::job(1)))), Error::BadKind { kind: 3 });
    assert_eq!(error::<HostMessage>(&altered(stdin.clone(), 4, 0)), Error::EmptyData);
    let huge = altered(stdin, 6, 1);
    assert_eq!(error::<HostMessage>(&huge), Error::TooLong { len: 0x1_0003, max: MAX_DATA });
    let huge = altered(ping(), 7, 0xff);
    assert!(matches!(error::<HostMessage>(&huge), Error::TooLong { max: HostMessage::MAX_BODY, .. }));
    assert!(matches!(error::<GuestMessage>(&huge), Error::TooLong { max: GuestMessage::MAX_BODY, .. }));
    assert!(matches!(error::<HostMessage>(&message_frame(&[])), Error::Malformed(_)));
    assert!(matches!(error::<HostMessage>(&message_frame(&[0xff])), Error::Malformed(_)));
    let mut long = ping().split_off(HEADER_LEN);
    long.push(0);
    assert_eq!(error::<HostMessage>(&message_frame(&long)), Error::TrailingBytes { extra: 1 });
}

#[test]
fn a_claimed_count_allocates_nothing() {
    // Start of job 1 with 2^32-1 arguments, none of which are there.
    let body = [0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(error::<HostMessage>(&message_frame(&body)), Error::Malformed(_)));
    // As many arguments as a body can hold: over the limit of the list. (Each is an empty string.)
    let mut body = vec![0, 1, 0x80, 0x80, 0x40];
    body.resize(HostMessage::MAX_BODY, 0);
    let mut bytes = message_frame(&body);
    assert!(matches!(decode::<HostMessage>(&bytes), Err(Error::Malformed(_))));
    bytes.truncate(HEADER_LEN);
    let mut decoder = Decoder::<HostMessage>::new();
    assert_eq!(decoder.push(&bytes), HEADER_LEN);
    assert_eq!(decoder.next_frame().unwrap(), None);
    let room = decoder.spare().len();
    assert!(room <= 2 * (HEADER_LEN + MAX_DATA), "a header alone claimed {room} bytes");
}

#[test]
fn the_longest_message_arrives_and_the_buffer_stays_bounded() {
    let argument = CBytes::new(vec![b'x'; MAX_CBYTES]).unwrap();
    let start = |count| {
        HostMessage::Start(StartJob::new(samples::job(1), List::new(vec![argument.clone(); count]).unwrap()))
    };
    let mut encoder = Encoder::new();
    encoder.message(&start(15)).unwrap();
    let len = encoder.len();
    assert!(matches!(encoder.message(&start(17)), Err(Error::TooLong { .. })));
    assert_eq!(encoder.len(), len, "a message that is too long queues nothing");

    let mut decoder = Decoder::<HostMessage>::new();
    for piece in encoder.pending().chunks(1000) {
        assert_eq!(decoder.next_frame().unwrap(), None);
        assert_eq!(decoder.push(piece), piece.len());
    }
    assert_eq!(decoder.next_frame().unwrap(), Some(Frame::Message(start(15))));
    assert!(decoder.is_at_boundary());
    assert!(decoder.capacity() <= HEADER_LEN + HostMessage::MAX_BODY);
    assert!(!decoder.spare().is_empty());
    assert!(decoder.capacity() <= 4096, "the memory of a long message is given back");
}

#[test]
fn a_full_buffer_takes_no_more() {
    let frame = data(Stream::Stdin(samples::job(1)));
    let flood = frame.repeat(100_000);
    let mut decoder = Decoder::<HostMessage>::new();
    let mut pushed = 0;
    let mut frames = 0;
    while pushed < flood.len() {
        let taken = decoder.push(&flood[pushed..]);
        assert!(taken > 0);
        pushed += taken;
        while decoder.next_frame().unwrap().is_some() {
            frames += 1;
        }
    }
    assert_eq!(frames, 100_000);
    assert!(decoder.capacity() <= 2 * (HEADER_LEN + MAX_DATA));
}

#[test]
fn values_outside_their_limits_cannot_be_made() {
    assert!(CBytes::new(vec![b'x'; MAX_CBYTES + 1]).is_err());
    assert!(CBytes::new("a\0b").is_err());
    assert!(EnvVar::new(b"", b"x").is_err());
    assert!(EnvVar::new(b"A=B", b"x").is_err());
    assert!(EnvVar::try_from(samples::bytes("A")).is_err());
    assert!(List::<u8, 1, 2>::new(vec![]).is_err());
    assert!(List::<u8, 1, 2>::new(vec![0; 3]).is_err());
    assert!(List::<u8, 0, MAX_STRINGS>::new(vec![0; MAX_STRINGS]).is_ok());
    assert_eq!(JobId::new(0), None);
    assert_eq!(Text::new(&"\u{e9}".repeat(MAX_TEXT)).as_raw_str().len(), MAX_TEXT);
    assert_eq!(Text::new("a\x1b[2J\nb").to_string(), "a\\u{1b}[2J\\nb");
    assert_eq!(samples::bytes("a\u{1b}").to_string(), "a\\x1b");
}

#[test]
fn users_parse_as_docker_has_them() {
    let name = |text| Principal::Name(samples::bytes(text));
    assert_eq!(User::parse("bob").unwrap(), User { user: name("bob"), group: None });
    assert_eq!(User::parse("0:wheel").unwrap(), User { user: Principal::Id(0), group: Some(name("wheel")) });
    for bad in ["", ":", "bob:", ":1", "4294967295", "99999999999", "a\0"] {
        assert!(User::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    let code =
        |step, errno| StartFailed { job: samples::job(1), step, errno, message: Text::default() }.exit_code();
    assert_eq!(code(StartStep::Exec, 2), 127);
    assert_eq!(code(StartStep::Exec, 13), 126);
    assert_eq!(code(StartStep::Cwd, 20), 126);
    assert_eq!(code(StartStep::User, 0), 125);
    assert_eq!(Status::Code(3).exit_code(), 3);
    assert_eq!(Status::Signal { signo: 9, core: false }.exit_code(), 137);
}

type OwnedFrame = (Option<Stream>, Vec<u8>);

/// What a decoder makes of bytes that arrive in pieces of these sizes: each frame (its stream, if it is data, and its
/// bytes), then the error, if there is one.
fn frames<M: Message>(bytes: &[u8], cuts: &[usize]) -> (Vec<OwnedFrame>, Option<Error>) {
    let mut decoder = Decoder::<M>::new();
    let mut frames = Vec::new();
    let mut from = 0;
    let mut cuts = cuts.iter().cycle();
    while from < bytes.len() {
        let to = (from + cuts.next().copied().unwrap_or(usize::MAX / 2)).min(bytes.len());
        from += decoder.push(&bytes[from..to]);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Data { stream, bytes })) => frames.push((Some(stream), bytes.to_vec())),
                Ok(Some(Frame::Message(message))) => {
                    let mut encoder = Encoder::new();
                    encoder.message(&message).unwrap();
                    frames.push((None, encoder.pending().to_vec()));
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Bytes that are mostly a frame: a valid header now and then, with anything in the body.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<Vec<u8>> = samples::host()
        .into_iter()
        .map(|(_, message)| {
            let mut encoder = Encoder::new();
            encoder.message(&message).unwrap();
            encoder.pending().to_vec()
        })
        .chain([data(Stream::Stdin(samples::job(1))), data(Stream::File(samples::file(2)))])
        .collect();
    let sample = proptest::sample::select(samples);
    let body = proptest::collection::vec(any::<u8>(), 0..100);
    let damaged =
        (sample.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(mut frame, at, value)| {
            let at = at.index(frame.len());
            frame[at] = value;
            frame
        });
    let piece = prop_oneof![
        8 => sample,
        1 => body.prop_map(|body| message_frame(&body)),
        1 => damaged,
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = decode::<HostMessage>(&bytes);
        let _ = decode::<GuestMessage>(&bytes);
        let _ = decode::<HostMessage>(&message_frame(&bytes));
        let _ = decode::<GuestMessage>(&message_frame(&bytes));
    }

    #[test]
    fn splits_do_not_matter(bytes in nearly_frames(), cuts in proptest::collection::vec(1..40usize, 1..20)) {
        prop_assert_eq!(frames::<HostMessage>(&bytes, &[]), frames::<HostMessage>(&bytes, &cuts));
    }

    #[test]
    fn start_round_trips(
        argv in proptest::collection::vec(proptest::collection::vec(1u8.., 0..50), 1..20),
        env in proptest::collection::vec(("[A-Z]{1,9}", ".{0,20}"), 0..10),
        cwd in proptest::option::of("[^\0]{0,30}"),
        soft: u64,
        rows: u16,
    ) {
        let mut start = StartJob::new(
            samples::job(3),
            List::new(argv.into_iter().map(|arg| CBytes::new(arg).unwrap()).collect()).unwrap(),
        );
        let env = env.iter().filter_map(|(k, v)| EnvVar::new(k.as_bytes(), v.as_bytes()).ok());
        start.env = List::new(env.collect()).unwrap();
        start.cwd = cwd.map(|cwd| CBytes::new(cwd).unwrap());
        start.rlimits = List::new(vec![Rlimit { resource: Resource::As, soft, hard: soft }]).unwrap();
        start.stdio = Stdio::Tty(TtySize { rows, cols: 80 });
        let message = HostMessage::Start(start);
        let mut encoder = Encoder::new();
        encoder.message(&message).unwrap();
        let (frame, len) = decode::<HostMessage>(encoder.pending()).unwrap().unwrap();
        prop_assert_eq!(len, encoder.len());
        prop_assert_eq!(frame, Frame::Message(message));
    }

    #[test]
    fn the_rest_of_a_frame_completes_it(size in 1..100usize, written in 0..200usize) {
        let stream = Stream::File(samples::file(1));
        let bytes = vec![7; size];
        let mut whole = Encoder::<HostMessage>::new();
        whole.data(stream, &bytes).unwrap();
        let mut rest = Encoder::<HostMessage>::new();
        rest.rest_of_data(stream, &bytes, written).unwrap();
        let written = written.min(whole.len());
        prop_assert_eq!(rest.pending(), &whole.pending()[written..]);
    }

    #[test]
    fn the_encoder_keeps_order_and_forgets_what_was_written(
        sizes in proptest::collection::vec((1..300usize, 0..400usize), 0..30),
    ) {
        let stream = Stream::File(samples::file(1));
        let mut encoder = Encoder::<HostMessage>::new();
        let (mut expected, mut written) = (Vec::new(), Vec::new());
        for (index, (size, write)) in sizes.into_iter().enumerate() {
            let bytes = vec![index as u8; size];
            encoder.data(stream, &bytes).unwrap();
            expected.extend(frame::data_header(stream, size).unwrap());
            expected.extend(bytes);
            let write = write.min(encoder.len());
            written.extend_from_slice(&encoder.pending()[..write]);
            encoder.advance(write);
        }
        written.extend_from_slice(encoder.pending());
        encoder.advance(usize::MAX);
        prop_assert!(encoder.is_empty());
        prop_assert_eq!(written, expected);
    }
}
