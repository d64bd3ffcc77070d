//! Plain types to records and back.
//!
//! A number that this side does not know becomes the nearest variant that is safe: an error is `Other` and its session
//! lost, a state is unknown, an ability is not there. Where no variant is safe, the conversion fails and the caller
//! refuses.

use std::borrow::Cow;
use std::mem::{align_of, offset_of, size_of};
use std::time::Duration;

use abi_stable::std_types::{ROption, RResult, RSlice, RVec, Tuple2};

use super::types::{
    AConnectOptions, ADone, AError, AFacts, AFailure, AHead, AInfo, ALexer, ANext, ANotice, APattern, APiece,
    AReadError, ASpan, ATableName, ATransactionOptions, Bytes, Code, Ext, Lent, LentExt, MUST_BE_KNOWN,
};
use crate::{
    Access, Capability, Class, Commit, ConnectOptions, Done, Error, ErrorKind, Facts, Failure, Feature,
    Fence, Head, Info, Isolation, Lexer, Mode, Next, Notice, PasswordFile, Passwords, Pattern, Phase, Piece,
    PieceKind, ReadError, Rest, Retry, Secret, Session, Span, State, TableName, TransactionOptions,
};

/// What an [`AError`] holds beyond its fixed fields.
mod info_key {
    pub(super) const PASSWORD_VARIABLE: u32 = 1;
    pub(super) const PASSWORD_FILE_VARIABLE: u32 = 2;
    pub(super) const PASSWORD_FILE_IN_HOME: u32 = 3;
}

mod options_key {
    pub(super) const PASSWORD: u32 = 1;
    pub(super) const PASSWORD_FILE: u32 = 2;
    /// In milliseconds.
    pub(super) const LOCK_LIMIT: u32 = 3;
}

mod error_key {
    pub(super) const SQLSTATE: u32 = 1;
    pub(super) const NATIVE: u32 = 2;
    pub(super) const DETAIL: u32 = 3;
    pub(super) const HINT: u32 = 4;
    pub(super) const SCHEMA: u32 = 5;
    pub(super) const TABLE: u32 = 6;
    pub(super) const CONSTRAINT: u32 = 7;
    pub(super) const POSITION: u32 = 8;
}

mod next_kind {
    pub(super) const STOP: u32 = 0;
    pub(super) const BATCH: u32 = 1;
    pub(super) const LATER: u32 = 2;
    pub(super) const END: u32 = 3;
}

mod phase {
    pub(super) const OPENING: u32 = 1;
    pub(super) const STATEMENT: u32 = 2;
    pub(super) const CLOSING: u32 = 3;
    pub(super) const COMMIT: u32 = 4;
    pub(super) const NOT_REACHED: u32 = 5;
}

pub(super) const FALSE: Code = Code(0);
pub(super) const TRUE: Code = Code(1);

pub(super) fn bytes(text: String) -> Bytes {
    text.into_bytes().into()
}

pub(super) fn lent(text: &str) -> Lent<'_> {
    text.as_bytes().into()
}

pub(super) fn string(bytes: Bytes) -> String {
    String::from_utf8(bytes.into_vec())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

pub(super) fn text(bytes: Lent<'_>) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.as_slice())
}

pub(super) fn bytes_list(texts: Vec<String>) -> RVec<Bytes> {
    texts.into_iter().map(bytes).collect()
}

pub(super) fn strings(list: RVec<Bytes>) -> Vec<String> {
    list.into_iter().map(string).collect()
}

pub(super) fn no_facts() -> LentExt<'static> {
    RSlice::from_slice(&[])
}

fn optional_bytes(text: Option<String>) -> ROption<Bytes> {
    text.map(bytes).into()
}

fn optional_string(bytes: ROption<Bytes>) -> Option<String> {
    bytes.into_option().map(string)
}

fn number<const SIZE: usize>(bytes: &[u8]) -> Option<[u8; SIZE]> {
    bytes.try_into().ok()
}

pub(super) fn answer<T>(result: Result<T, Error>) -> RResult<T, AError> {
    result.map_err(export_error).into()
}

pub(super) fn result<T>(answer: RResult<T, AError>) -> Result<T, Error> {
    answer.into_result().map_err(import_error)
}

pub(super) fn export_error(error: Error) -> AError {
    let mut ext = Ext::new();
    let mut push = |key, value: Option<Vec<u8>>| {
        if let Some(value) = value {
            ext.push(Tuple2(Code(key), value.into()));
        }
    };
    push(error_key::SQLSTATE, error.sqlstate.map(String::into_bytes));
    push(error_key::NATIVE, error.native.map(|native| native.to_le_bytes().to_vec()));
    push(error_key::DETAIL, error.detail.map(String::into_bytes));
    push(error_key::HINT, error.hint.map(String::into_bytes));
    push(error_key::SCHEMA, error.schema.map(String::into_bytes));
    push(error_key::TABLE, error.table.map(String::into_bytes));
    push(error_key::CONSTRAINT, error.constraint.map(String::into_bytes));
    push(error_key::POSITION, error.position.map(|position| position.to_le_bytes().to_vec()));
    AError {
        kind: Code(error.kind.code()),
        retry: Code(error.retry.code()),
        session: Code(error.session.code()),
        message: bytes(error.message),
        ext,
    }
}

pub(super) fn import_error(error: AError) -> Error {
    let kind = ErrorKind::from_code(error.kind.0).unwrap_or(ErrorKind::Other);
    let mut imported = Error {
        retry: Retry::from_code(error.retry.0).unwrap_or(Retry::Useless),
        session: Session::from_code(error.session.0).unwrap_or(Session::Lost),
        ..Error::new(kind, string(error.message))
    };
    for Tuple2(key, value) in error.ext {
        match key.0 {
            error_key::SQLSTATE => imported.sqlstate = Some(string(value)),
            error_key::NATIVE => imported.native = number(&value).map(i64::from_le_bytes),
            error_key::DETAIL => imported.detail = Some(string(value)),
            error_key::HINT => imported.hint = Some(string(value)),
            error_key::SCHEMA => imported.schema = Some(string(value)),
            error_key::TABLE => imported.table = Some(string(value)),
            error_key::CONSTRAINT => imported.constraint = Some(string(value)),
            error_key::POSITION => imported.position = number(&value).map(u64::from_le_bytes),
            _ => {}
        }
    }
    imported
}

pub(super) fn export_read_error(error: ReadError) -> AReadError {
    AReadError { set: error.set, error: export_error(error.error), ext: Ext::new() }
}

pub(super) fn import_read_error(error: AReadError) -> ReadError {
    ReadError { set: error.set, error: import_error(error.error) }
}

pub(super) fn export_info(info: Info) -> AInfo {
    let Passwords { variable, file } = info.passwords;
    let (file_variable, file_in_home) = file.map(|file| (file.variable, file.in_home)).unzip();
    let passwords = [
        (info_key::PASSWORD_VARIABLE, variable),
        (info_key::PASSWORD_FILE_VARIABLE, file_variable),
        (info_key::PASSWORD_FILE_IN_HOME, file_in_home),
    ];
    let fact = |(key, name): (u32, Option<String>)| Some(Tuple2(Code(key), bytes(name?)));
    AInfo {
        name: bytes(info.name),
        version: bytes(info.version),
        aliases: bytes_list(info.aliases),
        schemes: bytes_list(info.schemes),
        capabilities: info.capabilities.iter().map(|capability| Code(capability.code())).collect(),
        fence: Code(info.fence.code()),
        ext: passwords.into_iter().filter_map(fact).collect(),
    }
}

pub(super) fn import_info(info: AInfo) -> Info {
    let mut passwords = Passwords::default();
    let (mut file_variable, mut file_in_home) = (None, None);
    for Tuple2(key, name) in info.ext {
        match key.0 {
            info_key::PASSWORD_VARIABLE => passwords.variable = Some(string(name)),
            info_key::PASSWORD_FILE_VARIABLE => file_variable = Some(string(name)),
            info_key::PASSWORD_FILE_IN_HOME => file_in_home = Some(string(name)),
            _ => {}
        }
    }
    let file = file_variable.zip(file_in_home);
    passwords.file = file.map(|(variable, in_home)| PasswordFile { variable, in_home });
    Info {
        name: string(info.name),
        version: string(info.version),
        aliases: strings(info.aliases),
        schemes: strings(info.schemes),
        capabilities: info.capabilities.iter().filter_map(|code| Capability::from_code(code.0)).collect(),
        fence: Fence::from_code(info.fence.0).unwrap_or(Fence::None),
        passwords,
    }
}

/// Refuses what this version would do otherwise than it was asked for. It gives no such key a meaning itself.
pub(super) fn require_known<T>(facts: &[Tuple2<Code, T>]) -> Result<(), Error> {
    match facts.iter().find(|Tuple2(key, _)| key.0 & MUST_BE_KNOWN != 0) {
        None => Ok(()),
        Some(Tuple2(key, _)) => Err(Error::unsupported(&format!(
            "request {}, which a later version brought",
            key.0 & !MUST_BE_KNOWN
        ))),
    }
}

/// Lends options for the time of `call`, which the list of further facts lives for.
pub(super) fn with_options<T>(options: &ConnectOptions, call: impl FnOnce(AConnectOptions<'_>) -> T) -> T {
    let passwords =
        [(options_key::PASSWORD, &options.password), (options_key::PASSWORD_FILE, &options.password_file)];
    let lock_limit = options.lock_limit.map(|limit| limit.as_millis().to_string());
    let facts: Vec<_> = passwords
        .into_iter()
        .filter_map(|(key, secret)| Some((key, secret.as_ref()?.reveal())))
        .chain(lock_limit.as_deref().map(|limit| (options_key::LOCK_LIMIT, limit)))
        .map(|(key, fact)| Tuple2(Code(key), lent(fact)))
        .collect();
    call(AConnectOptions {
        url: lent(options.url.reveal()),
        application: lent(&options.application),
        access: Code(options.access.code()),
        ext: facts.as_slice().into(),
    })
}

/// More rights than were asked for would leave traces, fewer would fail later: an unknown access is refused.
pub(super) fn import_options(options: &AConnectOptions<'_>) -> Result<ConnectOptions, Error> {
    require_known(options.ext.as_slice())?;
    let fact = |key: u32| {
        let fact = options.ext.iter().find(|fact| fact.0.0 == key);
        fact.map(|fact| text(fact.1))
    };
    Ok(ConnectOptions {
        password: fact(options_key::PASSWORD).map(Secret::new),
        password_file: fact(options_key::PASSWORD_FILE).map(Secret::new),
        lock_limit: fact(options_key::LOCK_LIMIT)
            .and_then(|limit| limit.parse().ok())
            .map(Duration::from_millis),
        url: Secret::new(text(options.url)),
        application: text(options.application).into_owned(),
        access: Access::from_code(options.access.0)
            .ok_or_else(|| Error::unsupported("this kind of access"))?,
    })
}

pub(super) fn lend_table(table: &TableName) -> ATableName<'_> {
    ATableName { schema: table.schema.as_deref().map(lent).into(), name: lent(&table.name), ext: no_facts() }
}

pub(super) fn import_table(table: &ATableName<'_>) -> Result<TableName, Error> {
    require_known(table.ext.as_slice())?;
    Ok(TableName {
        schema: table.schema.into_option().map(|schema| text(schema).into_owned()),
        name: text(table.name).into_owned(),
    })
}

pub(super) fn lend_transaction(options: &TransactionOptions) -> ATransactionOptions<'static> {
    ATransactionOptions {
        isolation: Code(options.isolation.code()),
        access: Code(options.access.code()),
        ext: no_facts(),
    }
}

/// A weaker isolation than the one that was asked for would be a lie, so an unknown one is refused.
pub(super) fn import_transaction(options: &ATransactionOptions<'_>) -> Result<TransactionOptions, Error> {
    require_known(options.ext.as_slice())?;
    let unknown = || Error::unsupported("this kind of transaction");
    Ok(TransactionOptions {
        isolation: Isolation::from_code(options.isolation.0).ok_or_else(unknown)?,
        access: Access::from_code(options.access.0).ok_or_else(unknown)?,
    })
}

pub(super) fn export_next(next: Option<Next>) -> ANext {
    let (kind, head) = match next {
        Some(Next::Batch(head)) => (next_kind::BATCH, Some(export_head(head))),
        Some(Next::Later) => (next_kind::LATER, None),
        Some(Next::End) => (next_kind::END, None),
        None => (next_kind::STOP, None),
    };
    ANext { kind: Code(kind), head: head.into(), ext: Ext::new() }
}

/// `None` is the request to stop, and whatever this side does not know.
pub(super) fn import_next(next: ANext) -> Option<Next> {
    match (next.kind.0, next.head.into_option()) {
        (next_kind::BATCH, Some(head)) => import_head(head).map(Next::Batch),
        (next_kind::LATER, None) => Some(Next::Later),
        (next_kind::END, None) => Some(Next::End),
        _ => None,
    }
}

fn export_head(head: Head) -> AHead {
    AHead {
        attempt: bytes(head.attempt),
        mode: Code(head.mode.code()),
        outside: bytes_list(head.outside),
        opening: bytes_list(head.opening),
        preparation: bytes_list(head.preparation),
        mark: optional_bytes(head.mark),
        closing: bytes_list(head.closing),
        settles: head.settles.into(),
        failed: bytes_list(head.failed),
        cleanup: bytes_list(head.cleanup),
        commit: Code(head.commit.code()),
        statements: head.statements,
        ext: Ext::new(),
    }
}

fn import_head(head: AHead) -> Option<Head> {
    require_known(head.ext.as_slice()).ok()?;
    Some(Head {
        mode: Mode::from_code(head.mode.0)?,
        attempt: string(head.attempt),
        outside: strings(head.outside),
        opening: strings(head.opening),
        preparation: strings(head.preparation),
        mark: optional_string(head.mark),
        closing: strings(head.closing),
        settles: head.settles.into_option(),
        failed: strings(head.failed),
        cleanup: strings(head.cleanup),
        commit: Commit::from_code(head.commit.0)?,
        statements: head.statements,
    })
}

const _: () = {
    assert!(size_of::<ASpan>() == size_of::<Span>());
    assert!(align_of::<ASpan>() == align_of::<Span>());
    assert!(offset_of!(ASpan, start) == offset_of!(Span, start));
    assert!(offset_of!(ASpan, end) == offset_of!(Span, end));
    assert!(offset_of!(ASpan, marking) == offset_of!(Span, marking));
};

pub(super) fn lend_piece(piece: Piece<'_>) -> APiece<'_> {
    let spans = piece.spans;
    APiece {
        kind: Code(piece.kind.code()),
        rest: Code(piece.rest.code()),
        text: piece.text.into(),
        // SAFETY: `ASpan` and `Span` are `repr(C)` with the same fields at the same places, as asserted above, and
        // every value of a `u32` is valid.
        spans: unsafe { std::slice::from_raw_parts(spans.as_ptr().cast::<ASpan>(), spans.len()) }.into(),
        ext: no_facts(),
    }
}

/// `None` for a kind of piece that this side does not know.
pub(super) fn borrow_piece(piece: APiece<'_>) -> Option<Piece<'_>> {
    require_known(piece.ext.as_slice()).ok()?;
    let spans = piece.spans.as_slice();
    Some(Piece {
        kind: PieceKind::from_code(piece.kind.0)?,
        // Taking the last piece for one that others follow costs a turn; the other way round would lose them.
        rest: Rest::from_code(piece.rest.0).unwrap_or(Rest::Follows),
        text: piece.text.as_slice(),
        // SAFETY: as in `lend_piece`, the other way round.
        spans: unsafe { std::slice::from_raw_parts(spans.as_ptr().cast::<Span>(), spans.len()) },
    })
}

pub(super) fn export_notice(notice: Notice) -> ANotice {
    ANotice {
        severity: bytes(notice.severity),
        sqlstate: optional_bytes(notice.sqlstate),
        message: bytes(notice.message),
        ext: Ext::new(),
    }
}

pub(super) fn import_notice(notice: ANotice) -> Notice {
    Notice {
        severity: string(notice.severity),
        sqlstate: optional_string(notice.sqlstate),
        message: string(notice.message),
    }
}

pub(super) fn export_outcome(outcome: Result<Done, Failure>) -> RResult<ADone, AFailure> {
    outcome.map(|done| ADone { statements: done.statements, ext: Ext::new() }).map_err(export_failure).into()
}

pub(super) fn import_outcome(outcome: RResult<ADone, AFailure>) -> Result<Done, Failure> {
    outcome.into_result().map(|done| Done::new(done.statements)).map_err(import_failure)
}

fn export_failure(failure: Failure) -> AFailure {
    let (phase, statement) = match failure.phase {
        Phase::Opening => (phase::OPENING, 0),
        Phase::Statement(statement) => (phase::STATEMENT, statement),
        Phase::Closing => (phase::CLOSING, 0),
        Phase::Commit => (phase::COMMIT, 0),
        Phase::NotReached => (phase::NOT_REACHED, 0),
    };
    AFailure {
        phase: Code(phase),
        statement,
        error: export_error(failure.error),
        completed: failure.completed,
        committed: failure.committed,
        state: Code(failure.state.code()),
        ext: Ext::new(),
    }
}

fn import_failure(failure: AFailure) -> Failure {
    let state = State::from_code(failure.state.0).unwrap_or(State::Unknown);
    let (phase, state) = match failure.phase.0 {
        phase::OPENING => (Phase::Opening, state),
        phase::STATEMENT => (Phase::Statement(failure.statement), state),
        phase::CLOSING => (Phase::Closing, state),
        phase::COMMIT => (Phase::Commit, state),
        phase::NOT_REACHED => (Phase::NotReached, state),
        _ => (Phase::Closing, State::Unknown),
    };
    let error = import_error(failure.error);
    Failure::new(phase, error, failure.completed, failure.committed, state)
}

pub(super) fn export_lexer(lexer: Lexer) -> ALexer {
    let pattern = |pattern: Pattern| APattern {
        words: bytes(pattern.words),
        class: Code(pattern.class.code()),
        ext: Ext::new(),
    };
    ALexer {
        features: lexer.features.iter().map(|feature| Code(feature.code())).collect(),
        comment_version: lexer.comment_version,
        patterns: lexer.patterns.into_iter().map(pattern).collect(),
        plain_control: bytes_list(lexer.plain_control.into_iter().collect()),
        ext: Ext::new(),
    }
}

/// A rule that this side does not know may change where statements end or what they do, so it is refused.
pub(super) fn import_lexer(lexer: ALexer) -> Result<Lexer, Error> {
    let unknown = |what: &str, code: Code| {
        let message = format!("the adapter's dialect has {what} {}, which needs a newer host", code.0);
        Error::new(ErrorKind::Misbehaved, message)
    };
    let feature = |code: &Code| Feature::from_code(code.0).ok_or_else(|| unknown("feature", *code));
    let pattern = |pattern: APattern| {
        let class =
            Class::from_code(pattern.class.0).ok_or_else(|| unknown("statement class", pattern.class))?;
        Ok(Pattern { words: string(pattern.words), class })
    };
    Ok(Lexer {
        features: lexer.features.iter().map(feature).collect::<Result<_, Error>>()?,
        comment_version: lexer.comment_version,
        patterns: lexer.patterns.into_iter().map(pattern).collect::<Result<_, Error>>()?,
        plain_control: lexer.plain_control.into_iter().map(string).collect(),
    })
}

pub(super) fn export_facts(facts: Facts) -> AFacts {
    AFacts {
        server: bytes(facts.server),
        database: bytes(facts.database),
        schema: bytes(facts.schema),
        history_schema: optional_bytes(facts.history_schema),
        largest_message: facts.largest_message.into(),
        tables_without_transactions: bytes_list(facts.tables_without_transactions),
        ext: Ext::new(),
    }
}

pub(super) fn import_facts(facts: AFacts) -> Facts {
    Facts {
        server: string(facts.server),
        database: string(facts.database),
        schema: string(facts.schema),
        history_schema: optional_string(facts.history_schema),
        largest_message: facts.largest_message.into_option(),
        tables_without_transactions: strings(facts.tables_without_transactions),
    }
}
