//! What an honest agent says gives events; what a dishonest one says gives violations, never anything worse.

use super::*;
use ampoule_protocol::{
    ByeReason, CBytes, Exited, FileDone, Frame, GuestMessage, Hello, INITIAL_WINDOW, Input, List, LogLevel,
    Status, Stdio, Text, Usage,
};
use proptest::prelude::*;

fn hello() -> GuestMessage {
    let text = || Text::new("x");
    GuestMessage::Hello(Hello { agent: text(), kernel: text(), release: text(), boot: List::default() })
}

fn job(session: &mut Session, stdio: Stdio) -> JobId {
    let id = session.new_job().unwrap();
    let argv = List::new(vec![CBytes::new("true").unwrap()]).unwrap();
    session.start(StartJob { stdio, ..StartJob::new(id, argv) }).unwrap();
    id
}

fn pipes() -> Stdio {
    Stdio::Pipes { stdin: Input::Stream }
}

fn say(session: &mut Session, message: GuestMessage) -> Result<Option<Event<'static>>, Violation> {
    session.handle(Frame::Message(message))
}

fn data(
    session: &mut Session,
    stream: Stream,
    bytes: &'static [u8],
) -> Result<Option<Event<'static>>, Violation> {
    session.handle(Frame::Data { stream, bytes })
}

fn exited(job: JobId) -> GuestMessage {
    GuestMessage::Exited(Exited { job, status: Status::Code(0), usage: Usage::default(), oom_kills: 0 })
}

/// A session with a job that runs.
fn running() -> (Session, JobId) {
    let mut session = Session::new();
    let id = job(&mut session, pipes());
    say(&mut session, hello()).unwrap();
    say(&mut session, GuestMessage::Started { job: id, pid: 2 }).unwrap();
    (session, id)
}

#[test]
fn a_job_runs_from_start_to_exit() {
    let (mut session, id) = running();
    let stdout = Stream::Stdout(id);
    let event = data(&mut session, stdout, b"hi").unwrap();
    assert_eq!(event, Some(Event::Output { stream: stdout, bytes: b"hi" }));
    assert_eq!(say(&mut session, GuestMessage::Eof(stdout)), Ok(Some(Event::OutputEnd(stdout))));
    assert!(matches!(say(&mut session, exited(id)), Ok(Some(Event::Exited(_)))));
    assert!(!session.is_owed());
    assert_eq!(session.input_room(id), None);
}

#[test]
fn nothing_comes_before_hello_and_nothing_after_bye() {
    let mut session = Session::new();
    let id = job(&mut session, pipes());
    assert_eq!(say(&mut session, GuestMessage::Started { job: id, pid: 2 }), Err(Violation::NoHello));
    let mut session = Session::new();
    say(&mut session, hello()).unwrap();
    assert_eq!(say(&mut session, hello()), Err(Violation::SecondHello));
    assert_eq!(say(&mut session, GuestMessage::Bye(ByeReason::Shutdown)), Err(Violation::UnaskedBye));
    session.shutdown(0).unwrap();
    assert!(say(&mut session, GuestMessage::Bye(ByeReason::Shutdown)).is_ok());
    let log = GuestMessage::Log { level: LogLevel::Info, text: Text::new("") };
    assert_eq!(say(&mut session, log), Err(Violation::AfterBye));
}

#[test]
fn a_job_cannot_start_twice_or_end_twice_or_fail_after_it_started() {
    let (mut session, id) = running();
    assert!(matches!(
        say(&mut session, GuestMessage::Started { job: id, pid: 2 }),
        Err(Violation::WrongJobState { .. })
    ));
    let (mut session, id) = running();
    say(&mut session, exited(id)).unwrap();
    assert!(matches!(say(&mut session, exited(id)), Err(Violation::UnknownJob { .. })));
    let mut session = Session::new();
    say(&mut session, hello()).unwrap();
    let id = job(&mut session, pipes());
    assert!(matches!(say(&mut session, exited(id)), Err(Violation::WrongJobState { .. })));
}

#[test]
fn output_fits_the_state_and_kind_of_its_job() {
    let mut session = Session::new();
    say(&mut session, hello()).unwrap();
    let id = job(&mut session, Stdio::Tty(TtySize { rows: 1, cols: 1 }));
    let early = data(&mut session, Stream::Stdout(id), b"x");
    assert!(matches!(early, Err(Violation::WrongState { .. })), "data before the start: {early:?}");
    say(&mut session, GuestMessage::Started { job: id, pid: 2 }).unwrap();
    let stderr = data(&mut session, Stream::Stderr(id), b"x");
    assert!(matches!(stderr, Err(Violation::WrongState { .. })), "a terminal has no stderr: {stderr:?}");
    say(&mut session, GuestMessage::Eof(Stream::Stdout(id))).unwrap();
    let late = data(&mut session, Stream::Stdout(id), b"x");
    assert!(matches!(late, Err(Violation::WrongState { .. })), "data after the end: {late:?}");
}

#[test]
fn output_beyond_the_credit_is_a_violation_whoever_reads() {
    static PIECE: [u8; MAX_DATA] = [0; MAX_DATA];
    for closed in [false, true] {
        let (mut session, id) = running();
        let stdout = Stream::Stdout(id);
        if closed {
            session.close_output(stdout).unwrap();
        }
        for _ in 0..INITIAL_WINDOW as usize / MAX_DATA {
            let event = data(&mut session, stdout, &PIECE).unwrap();
            assert_eq!(event.is_some(), !closed, "what nobody wants is dropped");
        }
        assert!(matches!(data(&mut session, stdout, b"x"), Err(Violation::Protocol(_))));
    }
}

#[test]
fn credit_comes_back_as_output_is_consumed() {
    static PIECE: [u8; MAX_DATA] = [0; MAX_DATA];
    let (mut session, id) = running();
    let stdout = Stream::Stdout(id);
    let before = session.outgoing().len();
    for _ in 0..64 {
        data(&mut session, stdout, &PIECE).unwrap();
        session.consumed(stdout, PIECE.len()).unwrap();
    }
    assert!(session.outgoing().len() > before);
    session.close_output(stdout).unwrap();
    let closed = session.outgoing().len();
    session.consumed(stdout, MAX_DATA).unwrap();
    assert_eq!(session.outgoing().len(), closed, "a closed stream gets no more credit");
}

#[test]
fn input_stops_at_the_credit_and_at_the_end() {
    let (mut session, id) = running();
    let bytes = vec![0; INITIAL_WINDOW as usize + 5];
    let mut sent = 0;
    while let Some(room) = session.input_room(id).filter(|&room| room > 0) {
        sent += session.input(id, &bytes[sent..sent + room.min(1000)]).unwrap();
        let len = session.outgoing().len();
        session.outgoing().advance(len);
    }
    assert_eq!(sent, INITIAL_WINDOW as usize);
    let grant = GuestMessage::Credit { stream: Stream::Stdin(id), bytes: 5 };
    assert_eq!(say(&mut session, grant), Ok(Some(Event::InputRoom(id))));
    assert_eq!(session.input_room(id), Some(5));
    session.end_input(id).unwrap();
    assert_eq!(session.input(id, b"x").unwrap(), 0);
    // These may cross the end of the input.
    let grant = GuestMessage::Credit { stream: Stream::Stdin(id), bytes: 5 };
    assert_eq!(say(&mut session, grant), Ok(None));
    assert_eq!(say(&mut session, GuestMessage::Close(Stream::Stdin(id))), Ok(None));
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let (mut session, id) = running();
    let grant = GuestMessage::Credit { stream: Stream::Stdin(id), bytes: 15 << 20 };
    say(&mut session, grant).unwrap();
    let bytes = vec![0; 1 << 20];
    while session.input(id, &bytes).unwrap() > 0 {}
    assert!(session.outgoing().len() < QUEUE_LIMIT + 1024);
}

#[test]
fn a_file_is_as_long_as_it_is_said_to_be() {
    let mut session = Session::new();
    say(&mut session, hello()).unwrap();
    let path = CBytes::new("/x").unwrap();
    let get = session.new_file().unwrap();
    session.get_file(GetFile { file: get, path: path.clone(), limit: u64::MAX }).unwrap();
    assert!(session.is_owed());
    data(&mut session, Stream::File(get), b"12345").unwrap();
    let done = |file, bytes| GuestMessage::FileDone(FileDone { file, bytes, mode: 0o644 });
    assert!(matches!(say(&mut session, done(get, 6)), Err(Violation::WrongLength { transferred: 5, .. })));
    let put = session.new_file().unwrap();
    session.put_file(PutFile { file: put, path, mode: 0o644 }).unwrap();
    assert_eq!(session.file_data(put, b"123").unwrap(), 3);
    assert!(
        matches!(say(&mut session, done(put, 3)), Err(Violation::WrongState { .. })),
        "not at its end yet"
    );
    session.end_file(put).unwrap();
    assert!(matches!(say(&mut session, done(put, 3)), Ok(Some(Event::FileDone(_)))));
}

#[test]
fn a_pong_answers_one_ping() {
    let mut session = Session::new();
    say(&mut session, hello()).unwrap();
    assert_eq!(say(&mut session, GuestMessage::Pong { token: 1 }), Err(Violation::WrongPong));
    session.ping().unwrap();
    let queued = session.outgoing().len();
    session.ping().unwrap();
    assert_eq!(session.outgoing().len(), queued, "one question at a time");
    assert_eq!(say(&mut session, GuestMessage::Pong { token: 1 }), Ok(Some(Event::Pong)));
}

fn stream() -> impl Strategy<Value = Stream> {
    (0..4, 1..4u32).prop_map(|(kind, id)| match (kind, JobId::new(id), FileId::new(id)) {
        (0, Some(job), _) => Stream::Stdin(job),
        (1, Some(job), _) => Stream::Stdout(job),
        (2, Some(job), _) => Stream::Stderr(job),
        (_, _, Some(file)) => Stream::File(file),
        _ => unreachable!("ids are not zero"),
    })
}

fn guest_message() -> impl Strategy<Value = GuestMessage> {
    let job = || (1..4u32).prop_map(|id| JobId::new(id).unwrap());
    prop_oneof![
        job().prop_map(|job| GuestMessage::Started { job, pid: 1 }),
        job().prop_map(exited),
        stream().prop_map(GuestMessage::Eof),
        stream().prop_map(GuestMessage::Close),
        (stream(), any::<u32>()).prop_map(|(stream, bytes)| GuestMessage::Credit { stream, bytes }),
        (1..4u32, any::<u64>()).prop_map(|(id, bytes)| {
            GuestMessage::FileDone(FileDone { file: FileId::new(id).unwrap(), bytes, mode: 0 })
        }),
        any::<u32>().prop_map(|token| GuestMessage::Pong { token }),
    ]
}

proptest! {
    /// Whatever the agent says, in whatever order: no panic, and never an event about what the host did not begin.
    #[test]
    fn any_order_of_messages_is_handled(
        said in prop::collection::vec(
            prop_oneof![guest_message().prop_map(Ok), (stream(), 1..2000usize).prop_map(Err)],
            0..40,
        ),
    ) {
        static BYTES: [u8; 2000] = [0; 2000];
        let mut session = Session::new();
        say(&mut session, hello()).unwrap();
        let only = job(&mut session, pipes());
        for item in said {
            let result = match item {
                Ok(message) => say(&mut session, message),
                Err((stream, len)) => data(&mut session, stream, &BYTES[..len]),
            };
            match result {
                Err(_) => break,
                Ok(Some(Event::Output { stream, .. })) => {
                    prop_assert!(matches!(stream, Stream::Stdout(job) | Stream::Stderr(job) if job == only));
                }
                Ok(Some(Event::FileData { .. } | Event::FileDone(_))) => prop_assert!(false, "no transfer was begun"),
                Ok(_) => {}
            }
        }
    }
}
