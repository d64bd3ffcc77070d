//! An adapter with one defect.
//!
//! Stands before a sound adapter and bends one thing of it: what a mistake of its author, or malice, would make of it. The
//! suite must find each of them, and the host must survive it.

mod connection;
mod dialect;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use whimbrel_adapter_api::{
    Adapter, Canceller, Capability, ConnectOptions, Error, ErrorKind, Fence, Info, Opened, Quirks, Secret,
};

use self::connection::BentConnection;

/// Defines the defects, and the list of them.
macro_rules! defects {
    ($( $(#[$meta:meta])* $name:ident, )+) => {
        /// What an adapter does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $( $(#[$meta])* $name, )+
        }

        impl Defect {
            /// Every defect.
            pub const ALL: &'static [Defect] = &[$(Defect::$name),+];
        }
    };
}

defects! {
    /// Says another version of itself each time.
    VersionChanges,
    /// Declares arrays, which it does not have.
    OverclaimsArrays,
    /// Declares pipelining, which it does not do.
    OverclaimsPipelining,
    /// Declares data inside scripts, which it refuses.
    OverclaimsCopy,
    /// Has transactions, and declares none.
    UnderclaimsTransactions,
    /// Has savepoints, and declares none.
    UnderclaimsSavepoints,
    /// Stops statements, and declares that it cannot.
    UnderclaimsCancel,
    /// Keeps runs apart, and declares that it does not.
    UnderclaimsTheFence,
    /// Takes every url.
    TakesEveryUrl,
    /// Quotes the url that it refuses.
    QuotesTheUrl,
    /// Quotes the url when nobody answers there.
    QuotesTheServer,
    /// Does not say that a server is unreachable.
    UnreachableIsOther,
    /// Runs the first statement of a script alone.
    FirstStatementAlone,
    /// Hides the errors of statements behind the first.
    HidesLaterErrors,
    /// Tells no position.
    NoPosition,
    /// Tells a position that is off by one.
    PositionOffByOne,
    /// Counts characters where bytes are meant.
    PositionInCharacters,
    /// Takes every error for the end of the session.
    EveryErrorLosesTheSession,
    /// Does not know an absent table.
    TableMissingIsOther,
    /// Does not know an absent column.
    ColumnMissingIsOther,
    /// Does not know a violated constraint.
    ConstraintIsOther,
    /// Does not know an error of syntax.
    SyntaxIsOther,
    /// Gives an empty text for NULL.
    NullIsEmpty,
    /// Gives numbers as texts.
    NumbersAreTexts,
    /// Loses letters that take several bytes.
    LosesLetters,
    /// Cuts off a text at a zero byte.
    CutsTexts,
    /// Gives bytes as text.
    BytesAreText,
    /// Rounds numbers to 32 bits.
    RoundsNumbers,
    /// Gives rows from the last to the first.
    RowsReversed,
    /// Gives the names of columns in capitals.
    ColumnsShouted,
    /// Gives rows beyond what is wanted.
    IgnoresEnough,
    /// Runs every statement of a query, and gives the rows of the last.
    RunsAllOfAQuery,
    /// Swaps the first two parameters.
    SwapsParameters,
    /// Tells no number of the set that failed.
    ForgetsTheSet,
    /// Passes over sets without rows.
    SkipsEmptySets,
    /// Finds tables whatever the case of their letters.
    TablesFoldCase,
    /// Takes a name for a pattern.
    TablesArePatterns,
    /// Looks for tables in the current schema, whatever is asked for.
    TablesIgnoreSchema,
    /// Commits when the body gave up.
    CommitsAfterFailure,
    /// Rolls back when the body succeeded.
    RollsBackSuccess,
    /// Makes a success of a body that gave up.
    BodyFailedIsSuccess,
    /// Makes an error of the body's panic.
    SwallowsPanics,
    /// Runs an inner transaction as part of the outer one.
    NestsFlat,
    /// Lets a reading transaction write.
    ReadersWrite,
    /// Does not escape quotes in literals.
    LiteralsUnescaped,
    /// Doubles backslashes in literals.
    LiteralsDoubleBackslashes,
    /// Does not escape quotes in names.
    NamesUnescaped,
    /// Knows nothing of quoted names.
    LexerMissesNames,
    /// Takes comments for nested.
    LexerNestsComments,
    /// Does not say where the history is.
    HistoryNowhere,
    /// Gives the history in another order of columns.
    HistoryColumnsSwapped,
    /// Gives the history from the last row to the first.
    HistoryReversed,
    /// Fails when the history is there already.
    CreatesTwice,
    /// Creates the history without a key.
    HistoryWithoutKey,
    /// Marks rows that are settled.
    MarksSettledRows,
    /// Finishes rows that are settled.
    FinishesSettledRows,
    /// Stores the down script without its white space.
    TrimsScripts,
    /// Takes the seconds of a lease for milliseconds.
    LeaseTooShort,
    /// Gives another checksum in the short form.
    BriefDiffers,
    /// Forgets the limits.
    ForgetsLimits,
    /// Runs an atomic batch without its transaction.
    NoTransaction,
    /// Sends all but the last statement.
    LosesTheLastStatement,
    /// Loses the second piece of a script.
    LosesAPiece,
    /// Goes on when it is told to stop.
    IgnoresStop,
    /// Does not look whether the row was settled.
    IgnoresSettling,
    /// Runs no marks.
    ForgetsMarks,
    /// Does not record a failure.
    ForgetsFailures,
    /// Runs on behind a failed batch.
    RunsBehindAFailure,
    /// Reports a batch twice.
    ReportsTwice,
    /// Reports nothing.
    ReportsNothing,
    /// Reports batches under another number.
    ReportsAnother,
    /// Counts one statement too many.
    CountsOneMore,
    /// Tells progress beyond the end.
    ProgressBeyondTheEnd,
    /// Names the statement behind the one that failed.
    BlamesTheNextStatement,
    /// Says that statements stay which were rolled back.
    SaysTheyStay,
    /// Says that statements were rolled back which stay.
    SaysTheyAreGone,
    /// Is certain where nothing certain can be said.
    FalseCertainty,
    /// Does not tell a position that is taken from any other error.
    FenceIsConstraint,
    /// Delivers no request to stop.
    CancelDoesNothing,
    /// Refuses to stop, and declares that it can.
    CancelRefused,
    /// Says that nobody is at work.
    NobodyIsAlive,
    /// Says that somebody is always at work.
    EverybodyIsAlive,
    /// Fails to answer.
    PingFails,
    /// Fails to close.
    CloseFails,
    /// Panics when it connects.
    PanicsInConnect,
    /// Panics in a query.
    PanicsInQuery,
    /// Panics in a run.
    PanicsInRun,
    /// Panics in the text of its dialect.
    PanicsInText,
    /// Never comes back from a read.
    HangsInRead,
    /// Never comes back from a run.
    HangsInRun,
}

/// An adapter with one defect.
pub struct Misbehaving {
    adapter: Arc<dyn Adapter>,
    defect: Defect,
    asked: AtomicU32,
}

impl Misbehaving {
    /// Returns the adapter with a defect.
    #[must_use]
    pub fn new(adapter: Arc<dyn Adapter>, defect: Defect) -> Self {
        Misbehaving { adapter, defect, asked: AtomicU32::new(0) }
    }

    fn error(&self, mut error: Error, url: &Secret) -> Error {
        match self.defect {
            Defect::QuotesTheServer => error.detail = Some(format!("of {}", url.reveal())),
            Defect::UnreachableIsOther => error.kind = ErrorKind::Other,
            _ => {}
        }
        error
    }
}

impl Adapter for Misbehaving {
    fn info(&self) -> Info {
        let mut info = self.adapter.info();
        let capabilities = &mut info.capabilities;
        match self.defect {
            Defect::VersionChanges => info.version = self.asked.fetch_add(1, Ordering::Relaxed).to_string(),
            Defect::OverclaimsArrays => drop(capabilities.insert(Capability::Arrays)),
            Defect::OverclaimsPipelining => drop(capabilities.insert(Capability::Pipelining)),
            Defect::OverclaimsCopy => drop(capabilities.insert(Capability::CopyFromStdin)),
            Defect::UnderclaimsTransactions => drop(capabilities.remove(&Capability::Transactions)),
            Defect::UnderclaimsSavepoints => drop(capabilities.remove(&Capability::Savepoints)),
            Defect::UnderclaimsCancel => drop(capabilities.remove(&Capability::Cancel)),
            Defect::UnderclaimsTheFence => info.fence = Fence::None,
            _ => {}
        }
        info
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        match self.defect {
            Defect::TakesEveryUrl => Ok(()),
            Defect::QuotesTheUrl => self
                .adapter
                .check_url(url)
                .map_err(|error| Error::new(error.kind, format!("{}: {}", url.reveal(), error.message))),
            _ => self.adapter.check_url(url),
        }
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        if self.defect == Defect::PanicsInConnect {
            quiet_panic();
        }
        let opened = self.adapter.connect(options).map_err(|error| self.error(error, &options.url))?;
        let canceller = BentCanceller { canceller: opened.canceller, defect: self.defect };
        let connection = BentConnection::new(opened.connection, self.defect);
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        self.adapter.quirks()
    }
}

struct BentCanceller {
    canceller: Arc<dyn Canceller>,
    defect: Defect,
}

impl Canceller for BentCanceller {
    fn cancel(&self) -> Result<(), Error> {
        match self.defect {
            Defect::CancelDoesNothing => Ok(()),
            Defect::CancelRefused => Err(Error::unsupported("stopping")),
            _ => self.canceller.cancel(),
        }
    }
}

/// Panics without a message on standard error: it is what is wanted.
fn quiet_panic() -> ! {
    std::panic::resume_unwind(Box::new("the adapter was told to panic"))
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}
