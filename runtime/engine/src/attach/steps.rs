//! A job's way through the protocol: files in, start, run, files out.

use super::spec::{InputFile, JobSpec, OutputFile};
use super::streams::Streams;
use crate::outcome::{Outcome, TransferProblem};
use crate::sandbox::Handler;
use crate::session::{Event, Session};
use ampoule_policies::Mib;
use ampoule_protocol::{
    CBytes, Error, Exited, FileDone, FileFailed, FileId, FileStep, GetFile, Hello, JobId, MAX_DATA, PutFile,
    Status, Stream,
};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::Read;
use std::time::Instant;

/// A job and how far it has come.
#[derive(Debug)]
pub(super) struct Steps {
    /// `None` while files go in.
    pub(super) job: Option<JobId>,
    pub(super) streams: Streams,
    pub(super) hello: Option<Hello>,
    pub(super) exited: Option<Exited>,
    /// When the job's command was executed.
    pub(super) started: Option<Instant>,
    spec: JobSpec,
    /// The guest's RAM.
    memory: Mib,
    command: CBytes,
    inputs: VecDeque<InputFile>,
    outputs: VecDeque<OutputFile>,
    step: Step,
    /// Bytes of output so far.
    written: u64,
}

/// Where the job is.
#[derive(Debug)]
enum Step {
    /// A file is going in.
    Putting { id: FileId, input: InputFile },
    /// The agent was told to start the job.
    Starting,
    /// The job runs.
    Running,
    /// A file is coming out.
    Getting { id: FileId, output: OutputFile, received: u64 },
    /// It is over, in this way.
    Over(Option<Outcome>),
}

impl Steps {
    pub(super) fn new(mut spec: JobSpec, streams: Streams, memory: Mib) -> Self {
        Self {
            job: None,
            streams,
            hello: None,
            exited: None,
            started: None,
            command: spec.argv.first().cloned().unwrap_or_default(),
            inputs: std::mem::take(&mut spec.inputs).into(),
            outputs: std::mem::take(&mut spec.outputs).into(),
            spec,
            memory,
            step: Step::Starting,
            written: 0,
        }
    }

    /// Output of the job: passed on as far as it may write.
    fn output(&mut self, session: &mut Session, stream: Stream, bytes: &[u8]) -> Result<(), Error> {
        let Some(limit) = self.spec.output_total else { return self.streams.output(session, stream, bytes) };
        let room = usize::try_from(limit.saturating_sub(self.written)).unwrap_or(usize::MAX);
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(allowed) = bytes.get(..room.min(bytes.len())).filter(|allowed| !allowed.is_empty()) {
            self.streams.output(session, stream, allowed)?;
        }
        if self.written > limit {
            self.give_up(Outcome::OutputLimit { limit });
        }
        Ok(())
    }

    /// Says the first thing to the agent.
    pub(super) fn begin(&mut self, session: &mut Session) -> Result<(), Error> {
        self.next_input(session)
    }

    /// Whether everything was done that was to be done with the guest.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.step, Step::Over(_))
    }

    /// Whether the job is somewhere between its start and its end.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.step, Step::Running)
    }

    /// How it ended; once.
    pub(super) fn take_outcome(&mut self) -> Option<Outcome> {
        match &mut self.step {
            Step::Over(outcome) => outcome.take(),
            _ => None,
        }
    }

    /// Gives up waiting for the job.
    pub(super) fn give_up(&mut self, outcome: Outcome) {
        if !self.is_over() {
            self.step = Step::Over(Some(outcome));
        }
    }

    /// Sends on with a file that is going in, as far as there is room.
    pub(super) fn pump(&mut self, session: &mut Session) -> Result<(), Error> {
        let Step::Putting { id, input } = &mut self.step else { return Ok(()) };
        let mut piece = Vec::new();
        while let Some(room) = session.file_room(*id).filter(|&room| room > 0) {
            piece.resize(MAX_DATA, 0);
            let piece = piece.get_mut(..room.min(MAX_DATA)).unwrap_or_default();
            match input.file.read(piece) {
                Ok(0) => return session.end_file(*id),
                Ok(len) => drop(session.file_data(*id, piece.get(..len).unwrap_or_default())?),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let host = input.host.clone();
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    self.give_up(Outcome::Transfer(TransferProblem::Read { host, errno }));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn next_input(&mut self, session: &mut Session) -> Result<(), Error> {
        let Some(input) = self.inputs.pop_front() else {
            self.step = Step::Starting;
            let job = session.new_job()?;
            self.job = Some(job);
            return session.start(self.spec.start(job)?);
        };
        let id = session.new_file()?;
        session.put_file(PutFile { file: id, path: input.guest.clone(), mode: input.mode })?;
        self.step = Step::Putting { id, input };
        self.pump(session)
    }

    fn next_output(&mut self, session: &mut Session, exited: &Exited) -> Result<(), Error> {
        let Some(output) = self.outputs.pop_front() else {
            self.step = Step::Over(Some(Outcome::of(exited, self.memory)));
            return Ok(());
        };
        let id = session.new_file()?;
        session.get_file(GetFile { file: id, path: output.guest.clone(), limit: self.spec.output_limit })?;
        self.step = Step::Getting { id, output, received: 0 };
        Ok(())
    }

    fn file_data(&mut self, session: &mut Session, file: FileId, bytes: &[u8]) -> Result<(), Error> {
        let Step::Getting { id, output, received } = &mut self.step else { return Ok(()) };
        if *id != file {
            return Ok(());
        }
        *received = received.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let limit = self.spec.output_limit;
        let problem = match *received > limit {
            true => TransferProblem::TooLarge { guest: output.guest.clone(), limit },
            false => match output.host.write(bytes) {
                Ok(()) => return session.consumed(ampoule_protocol::Stream::File(file), bytes.len()),
                Err(error) => TransferProblem::Write(error),
            },
        };
        session.close_file(file)?;
        self.step = Step::Over(Some(Outcome::Transfer(problem)));
        Ok(())
    }

    fn file_done(&mut self, session: &mut Session, done: FileDone) -> Result<(), Error> {
        match std::mem::replace(&mut self.step, Step::Running) {
            Step::Putting { id, .. } if id == done.file => self.next_input(session),
            Step::Getting { id, output, .. } if id == done.file => {
                match (output.host.commit(done.mode & 0o111 != 0), self.exited) {
                    (Ok(()), Some(exited)) => self.next_output(session, &exited),
                    (Ok(()), None) => Ok(()),
                    (Err(error), _) => {
                        self.step = Step::Over(Some(Outcome::Transfer(TransferProblem::Write(error))));
                        Ok(())
                    }
                }
            }
            other => {
                self.step = other;
                Ok(())
            }
        }
    }

    fn file_failed(&mut self, session: &mut Session, failed: FileFailed) -> Result<(), Error> {
        let problem = match &self.step {
            Step::Putting { id, input } if *id == failed.file => {
                TransferProblem::Put { guest: input.guest.clone(), failed }
            }
            Step::Getting { id, output, .. } if *id == failed.file => {
                let guest = output.guest.clone();
                match failed.step == FileStep::Open && i32::from(failed.errno) == Errno::FBIG.raw_os_error() {
                    true => TransferProblem::TooLarge { guest, limit: self.spec.output_limit },
                    false => TransferProblem::Get { guest, failed },
                }
            }
            _ => return Ok(()),
        };
        // A command that failed often has no output: that it failed is the news.
        match (self.exited, problem) {
            (Some(exited), TransferProblem::Get { .. }) if exited.status != Status::Code(0) => {
                self.next_output(session, &exited)
            }
            (_, problem) => {
                self.step = Step::Over(Some(Outcome::Transfer(problem)));
                Ok(())
            }
        }
    }
}

impl Handler for Steps {
    fn event(&mut self, session: &mut Session, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Hello(hello) => self.hello = Some(hello),
            Event::Started { .. } => {
                self.started = Some(Instant::now());
                if let Step::Starting = self.step {
                    self.step = Step::Running;
                }
            }
            Event::StartFailed(failed) => {
                let command = std::mem::take(&mut self.command);
                self.give_up(Outcome::NotStarted { command, failed });
            }
            Event::Output { stream, bytes } => return self.output(session, stream, bytes),
            Event::InputClosed(_) => self.streams.stdin = None,
            Event::Exited(exited) => {
                self.exited = Some(exited);
                self.streams.stdin = None;
                if !self.is_over() {
                    return self.next_output(session, &exited);
                }
            }
            Event::FileData { file, bytes } => return self.file_data(session, file, bytes),
            Event::FileRoom(_) => return self.pump(session),
            Event::FileDone(done) => return self.file_done(session, done),
            Event::FileFailed(failed) => return self.file_failed(session, failed),
            Event::Log { level, text } => self.streams.log(format!("agent: {level:?}: {text}\n").as_bytes()),
            Event::OutputEnd(_) | Event::InputRoom(_) | Event::Pong | Event::Bye(_) => {}
        }
        Ok(())
    }

    fn console(&mut self, bytes: &[u8]) {
        self.streams.log(bytes);
    }
}
