//! A batch that was handed out and not reported yet: how far the server came with it.

use whimbrel_adapter_api::{Commit, Head, Mode, Phase};

use super::packet::Role;
use crate::statement::Effect;

/// A batch that was handed out and not reported yet.
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) head: Head,
    pub(super) completed: u64,
    pub(super) bytes: u64,
    pub(super) transaction: Transaction,
    pub(super) autocommit: Autocommit,
    pub(super) composed: bool,
    pub(super) sent: bool,
    pub(super) opened: bool,
    pub(super) settled: Settled,
}

/// The transaction that is open in a stepwise batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    /// Statements and their mark are in it.
    Ours {
        /// How many statements were complete before it.
        begun: u64,
    },
    /// The script began it.
    Theirs {
        /// How many statements were complete before it.
        begun: u64,
    },
}

/// What is known of the end of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    NotYet,
    /// The text that must change one row changed another number.
    Wrongly,
    Yes,
}

/// Whether a statement outside any transaction is kept at once, or begins one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Autocommit {
    On,
    Off,
}

impl Batch {
    pub(super) fn new(number: u32, mut head: Head) -> Self {
        // Here nothing refuses company.
        head.opening.append(&mut head.preparation);
        let opened = head.opening.is_empty();
        Batch {
            number,
            head,
            completed: 0,
            bytes: 0,
            transaction: Transaction::None,
            autocommit: Autocommit::On,
            composed: false,
            sent: false,
            opened,
            settled: Settled::NotYet,
        }
    }

    pub(super) fn answered(&mut self, role: Role, changed: u64) {
        match role {
            Role::Opening { last: true } => self.opened = true,
            Role::Statement(effect) => {
                if effect == Effect::Begins {
                    self.transaction = Transaction::Theirs { begun: self.completed };
                }
                self.completed += 1;
                if matches!(effect, Effect::Commits | Effect::RollsBack) {
                    self.transaction = self.begun_again();
                }
            }
            Role::Join => self.transaction = Transaction::Ours { begun: self.completed },
            Role::Keep => self.transaction = self.begun_again(),
            Role::Closing(index) => {
                if self.head.settles == Some(index) && changed != 1 {
                    self.settled = Settled::Wrongly;
                } else if self.is_last(index) && self.settled == Settled::NotYet {
                    self.settled = Settled::Yes;
                }
            }
            Role::Opening { last: false }
            | Role::Guard
            | Role::Held
            | Role::Probe
            | Role::Mark
            | Role::Ours
            | Role::Epilogue => {}
        }
    }

    pub(super) fn autocommit_is(&mut self, autocommit: Autocommit) {
        match (std::mem::replace(&mut self.autocommit, autocommit), autocommit) {
            (_, Autocommit::Off) if self.transaction == Transaction::None => {
                self.transaction = self.begun_again();
            }
            (_, Autocommit::Off) => {}
            // To turn it on commits; where it is on already, nothing happens.
            (Autocommit::Off, Autocommit::On) => self.transaction = Transaction::None,
            (Autocommit::On, Autocommit::On) => {}
        }
    }

    /// Returns where the transaction begins that follows one that has just ended.
    pub(super) fn begun_again(&self) -> Transaction {
        match self.autocommit {
            Autocommit::Off => Transaction::Theirs { begun: self.completed },
            Autocommit::On => Transaction::None,
        }
    }

    pub(super) fn commits(&self) -> bool {
        self.head.mode == Mode::Atomic && self.head.commit == Commit::Own
    }

    pub(super) fn is_last(&self, index: u32) -> bool {
        index as usize + 1 == self.head.closing.len()
    }

    pub(super) fn phase(&self, role: Role) -> Phase {
        match role {
            Role::Guard if self.opened => Phase::Statement(0),
            Role::Guard | Role::Opening { .. } => Phase::Opening,
            // What is checked only at the end of a joint transaction is the statement's.
            Role::Statement(_) | Role::Join | Role::Held | Role::Keep => Phase::Statement(self.completed),
            Role::Closing(index) if self.commits() && self.is_last(index) => Phase::Commit,
            Role::Probe | Role::Mark | Role::Ours | Role::Closing(_) | Role::Epilogue => Phase::Closing,
        }
    }

    /// Returns how many statements of a stepwise batch stay.
    pub(super) fn staying(&self) -> u64 {
        match self.transaction {
            // What was done in it goes with it.
            Transaction::Ours { begun } | Transaction::Theirs { begun } => begun,
            Transaction::None => self.completed,
        }
    }
}
