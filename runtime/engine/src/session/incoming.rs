//! From a frame of the agent to an event, or a violation.

use super::event::Event;
use super::job::Job;
use super::transfer::Transfer;
use super::violation::Violation;
use super::{Phase, Session};
use ampoule_protocol::{ByeReason, FileId, Frame, GuestMessage, JobId, Stream};

impl Session {
    /// Takes a frame from the agent. `None` is nothing worth telling.
    pub fn handle<'a>(&mut self, frame: Frame<'a, GuestMessage>) -> Result<Option<Event<'a>>, Violation> {
        match (self.phase, &frame) {
            (Phase::Expecting, Frame::Message(GuestMessage::Hello(_) | GuestMessage::Bye(_))) => {}
            (Phase::Expecting, _) => return Err(Violation::NoHello),
            (Phase::Open | Phase::ShuttingDown, _) => {}
            (Phase::Over, _) => return Err(Violation::AfterBye),
        }
        match frame {
            Frame::Data { stream, bytes } => self.data(stream, bytes),
            Frame::Message(message) => self.message(message),
        }
    }

    fn data<'a>(&mut self, stream: Stream, bytes: &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        let what = "data";
        let (wanted, event) = match stream {
            Stream::Stdout(job) | Stream::Stderr(job) => {
                (self.job(job, what)?.output(stream, bytes.len())?, Event::Output { stream, bytes })
            }
            Stream::File(file) => {
                let wanted = self.transfer(file, what)?.data(file, bytes.len())?;
                self.progress.moved(bytes.len());
                (wanted, Event::FileData { file, bytes })
            }
            Stream::Stdin(_) => return Err(Violation::WrongState { what, stream }),
        };
        Ok(wanted.then_some(event))
    }

    fn message<'a>(&mut self, message: GuestMessage) -> Result<Option<Event<'a>>, Violation> {
        match message {
            GuestMessage::Hello(hello) => match self.phase {
                Phase::Expecting => {
                    self.phase = Phase::Open;
                    Ok(Some(Event::Hello(hello)))
                }
                _ => Err(Violation::SecondHello),
            },
            GuestMessage::Started { job, pid } => {
                self.job(job, "a start")?.started(job)?;
                self.progress.turn();
                Ok(Some(Event::Started { job, pid }))
            }
            GuestMessage::StartFailed(failed) => {
                self.job(failed.job, "a failed start")?.expect_starting(failed.job, "a failed start")?;
                self.jobs.remove(&failed.job);
                self.progress.turn();
                Ok(Some(Event::StartFailed(failed)))
            }
            GuestMessage::Exited(exited) => {
                self.job(exited.job, "an exit")?.expect_running(exited.job, "an exit")?;
                self.jobs.remove(&exited.job);
                Ok(Some(Event::Exited(exited)))
            }
            GuestMessage::Eof(stream) => self.output_end(stream),
            GuestMessage::Credit { stream, bytes } => self.credit(stream, bytes),
            GuestMessage::Close(stream) => self.input_closed(stream),
            GuestMessage::FileDone(done) => {
                self.transfer(done.file, "a result")?.done(&done)?;
                self.transfers.remove(&done.file);
                self.progress.turn();
                Ok(Some(Event::FileDone(done)))
            }
            GuestMessage::FileFailed(failed) => {
                self.transfer(failed.file, "a failure")?;
                self.transfers.remove(&failed.file);
                self.progress.turn();
                Ok(Some(Event::FileFailed(failed)))
            }
            GuestMessage::Pong { token } => match self.ping.take() {
                Some(asked) if asked == token => Ok(Some(Event::Pong)),
                _ => Err(Violation::WrongPong),
            },
            GuestMessage::Log { level, text } => Ok(Some(Event::Log { level, text })),
            GuestMessage::Bye(reason) => self.bye(reason).map(Some),
        }
    }

    fn output_end<'a>(&mut self, stream: Stream) -> Result<Option<Event<'a>>, Violation> {
        let what = "an end of data";
        match stream {
            Stream::Stdout(job) | Stream::Stderr(job) => {
                let wanted = self.job(job, what)?.output_end(stream)?;
                Ok(wanted.then_some(Event::OutputEnd(stream)))
            }
            Stream::Stdin(_) | Stream::File(_) => Err(Violation::WrongState { what, stream }),
        }
    }

    fn credit<'a>(&mut self, stream: Stream, bytes: u32) -> Result<Option<Event<'a>>, Violation> {
        let what = "credit";
        match stream {
            Stream::Stdin(job) => {
                let news = self.job(job, what)?.stdin.grant(job, bytes)?;
                Ok(news.then_some(Event::InputRoom(job)))
            }
            Stream::File(file) => {
                let news = self.transfer(file, what)?.grant(file, bytes)?;
                Ok(news.then_some(Event::FileRoom(file)))
            }
            Stream::Stdout(_) | Stream::Stderr(_) => Err(Violation::WrongState { what, stream }),
        }
    }

    fn input_closed<'a>(&mut self, stream: Stream) -> Result<Option<Event<'a>>, Violation> {
        let what = "a close";
        match stream {
            Stream::Stdin(job) => {
                let news = self.job(job, what)?.stdin.close(job)?;
                Ok(news.then_some(Event::InputClosed(job)))
            }
            Stream::Stdout(_) | Stream::Stderr(_) | Stream::File(_) => {
                Err(Violation::WrongState { what, stream })
            }
        }
    }

    fn bye<'a>(&mut self, reason: ByeReason) -> Result<Event<'a>, Violation> {
        if reason == ByeReason::Shutdown && self.phase != Phase::ShuttingDown {
            return Err(Violation::UnaskedBye);
        }
        self.phase = Phase::Over;
        Ok(Event::Bye(reason))
    }

    fn job(&mut self, job: JobId, what: &'static str) -> Result<&mut Job, Violation> {
        self.jobs.get_mut(&job).ok_or(Violation::UnknownJob { what, job })
    }

    fn transfer(&mut self, file: FileId, what: &'static str) -> Result<&mut Transfer, Violation> {
        self.transfers.get_mut(&file).ok_or(Violation::UnknownFile { what, file })
    }
}
