//! One statement at a time, for [`walk`](whimbrel_adapter_api::walk::walk).

use std::sync::{Mutex, PoisonError};

use whimbrel_adapter_api::walk::{Bracket, OneByOne};
use whimbrel_adapter_api::{Error, ErrorKind, Marking, Next, Piece, State, Stop, Work};

use crate::connection::ClickHouseConnection;
use crate::error::{self, DUPLICATE_COLUMN};

impl OneByOne for ClickHouseConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        self.execute_one(statement).map(|reply| reply.written)
    }

    fn is_kept(&self, _marking: Marking) -> bool {
        // Nothing is ever taken back.
        true
    }

    fn state_after(&self, statement: &str, error: &Error) -> State {
        if error::may_leave_a_part(error, statement) { State::Unknown } else { State::Committed }
    }

    fn joint(&self) -> Bracket {
        Bracket::savepoint(0)
    }

    fn roll_back(&mut self) -> State {
        State::Unknown
    }

    fn enter(&mut self, outside: &[String]) -> Result<(), Error> {
        match outside {
            [] => Ok(()),
            _ => Err(Error::unsupported("settings around a transaction")),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&mut self) {
        // Settings that a script has left behind cannot be taken back one by one.
        self.renew();
    }

    fn opening_error(&self, mut error: Error) -> Error {
        if error.native == Some(DUPLICATE_COLUMN) {
            error.kind = ErrorKind::FenceTaken;
        }
        error
    }
}

/// Notes which attempt is under way.
pub(crate) struct Named<'a> {
    pub(crate) work: &'a mut dyn Work,
    pub(crate) attempt: &'a Mutex<String>,
}

impl Work for Named<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let next = self.work.next_batch();
        if let Ok(Next::Batch(head)) = &next {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            attempt.clone_from(&head.attempt);
        }
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        self.work.next_piece()
    }
}
