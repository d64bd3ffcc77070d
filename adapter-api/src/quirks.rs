//! How an engine differs from what the conformance suite takes for usual.

use crate::codes::codes;
use crate::value::Value;

/// The facts about an engine that the conformance suite cannot find out, and must know to put its questions.
///
/// They excuse nothing: what an adapter can do stands in its [`capabilities`](crate::Info::capabilities), and each of these
/// is tried. The host never asks for them.
///
/// In every template `{}` stands for the argument. Names are put in quoted by the dialect. Begin with [`Quirks::default`],
/// which says what is usual: `?`, `CREATE TABLE` with a `BIGINT` key, `CREATE SCHEMA`, no pause, several processes, exact
/// positions, and every value back as it was given.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Quirks {
    /// The placeholder of the parameter with the number `{}`, counted from 1: `?`, `${}`.
    pub parameter: String,
    /// Creates the table `{}` with two columns: `id`, a whole number of 64 bits, which is the key where the engine has
    /// keys, and `name`, a text of up to 64 characters.
    pub create_table: String,
    /// The names of further tables that the adapter makes beside a history table `{}`: `{}_fence`. The suite drops them
    /// with it.
    pub beside_history: Vec<String>,
    /// Creates the schema `{}`, for as long as the session lasts at least. `None`: there are no others, or this takes more
    /// than SQL.
    pub create_schema: Option<String>,
    /// Drops the schema `{}` with all that is in it.
    pub drop_schema: Option<String>,
    /// One statement that is at work for `{}` seconds, more or less, and changes nothing. Where only statements that write
    /// are seen by others, it writes to `{table}`, which is one as [`create_table`](Quirks::create_table) makes them.
    /// `None`: there is no way to make the engine work so long. Then `Cancel`, `Liveness` and `StatementLimit` cannot be
    /// shown, and the checks of one that is declared fail.
    pub pause: Option<String>,
    /// Who may have the database open at once.
    pub sharing: Sharing,
    /// Whether the engine says where a statement is wrong.
    pub pointing: Pointing,
    /// The kinds of values that do not come back as they were given.
    pub values: Vec<ValueQuirk>,
}

impl Default for Quirks {
    fn default() -> Self {
        Quirks {
            parameter: "?".to_owned(),
            create_table: "CREATE TABLE {} (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(64))".to_owned(),
            beside_history: Vec::new(),
            create_schema: Some("CREATE SCHEMA {}".to_owned()),
            drop_schema: Some("DROP SCHEMA {} CASCADE".to_owned()),
            pause: None,
            sharing: Sharing::Processes,
            pointing: Pointing::Exact,
            values: Vec::new(),
        }
    }
}

impl Quirks {
    /// Says that a sample comes back otherwise.
    #[must_use]
    pub fn with_value(mut self, sample: Sample, comes: Comes) -> Self {
        self.values.push(ValueQuirk { sample, through: "{}".to_owned(), comes });
        self
    }

    /// Says that a sample comes back as it was given when it is asked for as `through`, an expression around its
    /// placeholder `{}`: `CAST({} AS DATE)`.
    #[must_use]
    pub fn with_value_through(mut self, sample: Sample, through: &str) -> Self {
        self.values.push(ValueQuirk { sample, through: through.to_owned(), comes: Comes::Back });
        self
    }
}

/// How a kind of value behaves when it is given as a parameter and read back. Made by [`Quirks::with_value`] and
/// [`Quirks::with_value_through`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ValueQuirk {
    /// Which one.
    pub sample: Sample,
    /// The expression that is asked for, around the placeholder `{}`.
    pub through: String,
    /// What comes of it.
    pub comes: Comes,
}

/// What comes of a value that is given as a parameter and read back.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Comes {
    /// The same.
    Back,
    /// Another that means the same: 1 for true. No array.
    As(Value<'static>),
    /// It is refused with an error, and never changed in silence.
    Refused,
}

codes! {
    /// Who may have a database open at once.
    pub enum Sharing {
        /// Any number of processes.
        Processes = 1,
        /// One process, with any number of sessions. Others are refused with `InUse`.
        OneProcess = 2,
        /// A database lives within its process; none other sees it.
        Private = 3,
    }
}

codes! {
    /// Whether an engine says where a statement is wrong.
    pub enum Pointing {
        /// The position of an error of syntax is the first byte of the word at fault.
        Exact = 1,
        /// It is a byte nearby.
        Near = 2,
        /// It does not say.
        Absent = 3,
    }
}

codes! {
    /// A value that the conformance suite sends there and back.
    pub enum Sample {
        /// True.
        Bool = 1,
        /// The smallest whole number of 64 bits.
        Int = 2,
        /// The largest one without a sign.
        UInt = 3,
        /// 0.1.
        Float = 4,
        /// Infinity.
        Infinity = 5,
        /// A text with a quote, a backslash, letters of several bytes and a line end.
        Text = 6,
        /// A text with a zero byte.
        Nul = 7,
        /// Bytes that are no text.
        Bytes = 8,
        /// `-12.50`.
        Decimal = 9,
        /// `2026-01-31`.
        Date = 10,
        /// `13:05:00`.
        Time = 11,
        /// `2026-01-31 13:05:00`.
        Timestamp = 12,
        /// `2026-01-31 13:05:00+00`.
        TimestampTz = 13,
        /// `1 day 02:00:00`.
        Interval = 14,
        /// A UUID.
        Uuid = 15,
        /// `{"a": [1]}`.
        Json = 16,
    }
}
