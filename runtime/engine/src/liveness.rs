//! Whether the agent still does its part.
//!
//! A job may take as long as it likes without a word; its agent may not. What the agent owes (see
//! [`Session::is_owed`]) it must be done with in time, where files have the time that a slow transfer takes: whoever only
//! talks gets nowhere. And when it is quiet for long, it is asked for a sign of life.

use crate::end::End;
use crate::session::{Progress, Session};
use std::time::{Duration, Instant};

/// What files move at least, in bytes a second on average: less than the least limit of a policy on what travels.
const LEAST_RATE: u64 = 16 * 1024;

/// The clocks that run against the agent.
#[derive(Debug)]
pub(crate) struct Liveness {
    answer: Duration,
    ping_every: Duration,
    heard: Instant,
    /// Later by the time of what was moved since.
    owed_since: Option<Instant>,
    progress: Progress,
    pinged: Option<Instant>,
}

impl Liveness {
    /// From the moment that the agent said hello.
    pub(crate) fn new(answer: Duration, ping_every: Duration, now: Instant) -> Self {
        Self { answer, ping_every, heard: now, owed_since: None, progress: Progress::default(), pinged: None }
    }

    /// The agent said something. That is a sign of life, and no step towards what it owes.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Looks at what the agent has done, and what it owes now.
    pub(crate) fn update(&mut self, session: &Session, now: Instant) {
        let before = std::mem::replace(&mut self.progress, session.progress());
        if self.progress.turns != before.turns {
            self.owed_since = None;
        }
        let time = time_of(self.progress.bytes.saturating_sub(before.bytes));
        self.owed_since = self.owed_since.map(|since| (since + time).min(now));
        keep_since(&mut self.owed_since, session.is_owed(), now);
        keep_since(&mut self.pinged, session.ping_is_open(), now);
    }

    /// Time passed, and everything that the agent had said by now was heard. Asks it for a sign of life when it is
    /// time, and gives an end when it is too late.
    pub(crate) fn tick(&mut self, session: &mut Session, now: Instant) -> Option<End> {
        let oldest = [self.owed_since, self.pinged].into_iter().flatten().min();
        if oldest.is_some_and(|since| now >= since + self.answer) {
            return Some(End::AgentSilent { after: self.answer });
        }
        if now >= self.heard + self.ping_every && !session.ping_is_open() {
            if let Err(error) = session.ping() {
                return Some(End::Unsayable(error));
            }
            self.update(session, now);
        }
        None
    }

    /// When time alone changes something.
    pub(crate) fn deadline(&self) -> Instant {
        let ping = match self.pinged {
            Some(_) => None,
            None => Some(self.heard + self.ping_every),
        };
        let late = [self.owed_since, self.pinged].into_iter().flatten().map(|since| since + self.answer);
        late.chain(ping).min().unwrap_or(self.heard + self.answer)
    }
}

/// The time that a slow transfer of so many bytes takes.
fn time_of(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / LEAST_RATE)
}

fn keep_since(since: &mut Option<Instant>, open: bool, now: Instant) {
    match open {
        true => drop(since.get_or_insert(now)),
        false => *since = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_protocol::{Frame, GetFile, GuestMessage, Hello, List, StartJob, Stream, Text};

    const ANSWER: Duration = Duration::from_secs(30);
    const PING: Duration = Duration::from_secs(10);

    fn open_session() -> Session {
        let mut session = Session::new();
        let text = || Text::new("x");
        let hello = Hello { agent: text(), kernel: text(), release: text(), boot: List::default() };
        session.handle(Frame::Message(GuestMessage::Hello(hello))).unwrap();
        session
    }

    #[test]
    fn a_quiet_agent_is_asked_and_then_given_up() {
        let mut session = open_session();
        let start = Instant::now();
        let mut liveness = Liveness::new(ANSWER, PING, start);
        assert_eq!(liveness.deadline(), start + PING);
        assert_eq!(liveness.tick(&mut session, start + PING), None);
        assert!(session.ping_is_open());
        assert_eq!(liveness.deadline(), start + PING + ANSWER);
        assert_eq!(
            liveness.tick(&mut session, start + PING + ANSWER),
            Some(End::AgentSilent { after: ANSWER })
        );
    }

    #[test]
    fn an_agent_that_only_answers_pings_still_owes_a_start() {
        let mut session = open_session();
        let start = Instant::now();
        let mut liveness = Liveness::new(ANSWER, PING, start);
        let job = session.new_job().unwrap();
        let argv = List::new(vec![ampoule_protocol::CBytes::new("x").unwrap()]).unwrap();
        session.start(StartJob::new(job, argv)).unwrap();
        liveness.update(&session, start);
        liveness.heard(start + PING);
        liveness.update(&session, start + PING);
        assert_eq!(liveness.tick(&mut session, start + ANSWER), Some(End::AgentSilent { after: ANSWER }));
        liveness.heard(start + PING);
        session.handle(Frame::Message(GuestMessage::Started { job, pid: 2 })).unwrap();
        liveness.update(&session, start + PING);
        assert_eq!(liveness.tick(&mut session, start + PING), None, "a job may take its time");
    }
    #[test]
    fn a_transfer_may_be_slow_and_not_for_show() {
        for (bytes, is_enough) in [(1, false), (LEAST_RATE as usize, true)] {
            let mut session = open_session();
            let start = Instant::now();
            let mut liveness = Liveness::new(ANSWER, PING, start);
            let file = session.new_file().unwrap();
            let path = ampoule_protocol::CBytes::new("/x").unwrap();
            session.get_file(GetFile { file, path, limit: u64::MAX }).unwrap();
            liveness.update(&session, start);
            let late = (1..=60).find_map(|second| {
                let now = start + Duration::from_secs(second);
                session.handle(Frame::Data { stream: Stream::File(file), bytes: &vec![0; bytes] }).unwrap();
                session.consumed(Stream::File(file), bytes).unwrap();
                liveness.heard(now);
                liveness.update(&session, now);
                liveness.tick(&mut session, now).map(|end| (second, end))
            });
            let expected = (!is_enough).then_some((31, End::AgentSilent { after: ANSWER }));
            assert_eq!(late, expected, "{bytes} bytes a second");
        }
    }
}
