//! What the other side may send although this side does not know or allow it.

use abi_stable::std_types::{ROption, RResult, RSlice, RVec, Tuple2};

use super::open;
use super::toy::{Toy, full_error};
use crate::abi::cells::{borrow_cells, lend_cells};
use crate::abi::convert::{
    export_error, export_facts, export_lexer, export_next, export_outcome, import_error, import_facts,
    import_lexer, import_next, import_options, import_outcome, import_table, import_transaction, lend_table,
    lend_transaction, with_options,
};
use crate::abi::text::{EncodedText, decode};
use crate::abi::types::{
    ACell, AConnectOptions, ATableName, AText, ATransactionOptions, Code, Lent, MUST_BE_KNOWN,
};
use crate::{
    Class, ConnectOptions, ErrorKind, Facts, Failure, Feature, Head, Lexer, Mode, Next, Phase, Rows, Secret,
    Session, State, TableName, Text, TransactionOptions, Value, ValueKind,
};

const NEW: Code = Code(4_000);

#[test]
fn an_unknown_error_is_other_and_its_session_lost() {
    let mut error = export_error(full_error());
    (error.kind, error.session, error.retry) = (NEW, NEW, NEW);
    error.ext.push(Tuple2(NEW, RVec::new()));
    let error = import_error(error);
    assert_eq!((error.kind, error.session), (ErrorKind::Other, Session::Lost));
    assert_eq!(error.constraint, full_error().constraint);
}

#[test]
fn a_number_of_the_wrong_length_is_left_out() {
    let mut error = export_error(full_error());
    error.ext.iter_mut().for_each(|Tuple2(_, value)| value.push(0xff));
    let error = import_error(error);
    assert_eq!((error.native, error.position), (None, None));
    assert_eq!(error.table.as_deref(), Some("birds\u{fffd}"));
}

#[test]
fn text_that_is_not_utf8_is_replaced() {
    let mut facts = export_facts(Facts::default());
    facts.server = vec![b'a', 0xff].into();
    assert_eq!(import_facts(facts).server, "a\u{fffd}");
    let values = [Value::text("a")];
    let mut cells = lend_cells(&values);
    cells[0].bytes = Lent::from_slice(&[0xff]);
    assert_eq!(borrow_cells(RSlice::from_slice(&cells)), Some(vec![Value::text("\u{fffd}")]));
}

#[test]
fn an_unknown_failure_leaves_nothing_certain() {
    let failure = Failure::rolled_back(Phase::Commit, full_error(), 1);
    let RResult::RErr(mut failure) = export_outcome(Err(failure)) else { panic!("a failure stays one") };
    failure.phase = NEW;
    let failure = import_outcome(RResult::RErr(failure)).unwrap_err();
    assert_eq!((failure.phase, failure.state), (Phase::Closing, State::Unknown));
}

#[test]
fn an_unknown_or_impossible_batch_is_a_stop() {
    let batch = || export_next(Some(Next::Batch(Head::new("attempt", Mode::Atomic, 0))));
    assert!(matches!(import_next(batch()), Some(Next::Batch(_))));
    let mut next = batch();
    next.kind = NEW;
    assert!(import_next(next).is_none());
    let mut next = batch();
    next.head.as_mut().unwrap().mode = NEW;
    assert!(import_next(next).is_none());
    let mut next = export_next(Some(Next::End));
    next.kind = batch().kind;
    assert!(import_next(next).is_none());
}

#[test]
fn an_unknown_isolation_is_refused() {
    let mut options = lend_transaction(&TransactionOptions::default());
    options.isolation = NEW;
    assert_eq!(import_transaction(&options).unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn an_unknown_rule_of_the_lexer_is_refused_by_its_number() {
    let lexer = || export_lexer(Lexer::new(&[Feature::NestedComments], &[("COPY", Class::CopyFromStdin)]));
    let mut newer = lexer();
    newer.features.push(NEW);
    let error = import_lexer(newer).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misbehaved);
    assert_eq!(error.message, "the adapter's dialect has feature 4000, which needs a newer host");
    let mut newer = lexer();
    newer.patterns[0].class = NEW;
    let error = import_lexer(newer).unwrap_err();
    assert_eq!(error.message, "the adapter's dialect has statement class 4000, which needs a newer host");
}

#[test]
fn an_unknown_text_is_one_that_the_engine_does_not_have() {
    let empty = RSlice::from_slice(&[]);
    assert!(decode(&AText { text: NEW, arguments: empty }, |_| ()).is_none());
    // The history, without its name.
    assert!(decode(&AText { text: Code(2), arguments: empty }, |_| ()).is_none());
}

#[test]
fn an_unknown_value_is_taken_as_text() {
    let values = [Value::text("ab")];
    let mut cells = lend_cells(&values);
    (cells[0].kind, cells[0].type_kind) = (NEW, NEW);
    let expected = Value::Typed(ValueKind::Other, "ab".into());
    assert_eq!(borrow_cells(RSlice::from_slice(&cells)), Some(vec![expected]));
}

#[test]
fn an_array_that_does_not_end_or_nests_too_deeply_is_refused() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]));
        borrow_cells(RSlice::from_slice(&lend_cells(&[value]))).is_some()
    };
    assert!(nested(32));
    assert!(!nested(33));
    let values = [Value::Array(vec![Value::Null])];
    let cells = |length: u64| {
        let mut cells: Vec<ACell<'_>> = lend_cells(&values);
        cells[0].number = length;
        borrow_cells(RSlice::from_slice(&cells)).is_some()
    };
    assert!(cells(1));
    assert!(!cells(2));
    assert!(!cells(u64::MAX));
}

#[test]
fn rows_of_a_set_that_was_not_asked_for_are_refused() {
    let mut rows = Rows::default();
    let error = open(&Toy::default()).connection.query("wrong set", &[], &mut rows).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misbehaved);
    assert_eq!(rows, Rows::default());
}

/// A limit or a right that is passed over would be a lie.
#[test]
fn a_key_that_must_be_known_is_refused_and_any_other_passed_over() {
    let (harmless, binding) = (Code(4_000), Code(MUST_BE_KNOWN | 4_000));
    for (key, is_taken) in [(harmless, true), (binding, false)] {
        let facts = [Tuple2(key, Lent::from_slice(b"1"))];
        let lent = RSlice::from_slice(&facts);
        let options = ConnectOptions::new(Secret::new("toy:"));
        let options = with_options(&options, |options| {
            import_options(&AConnectOptions { ext: lent, ..options }).map(drop)
        });
        let table = TableName::new("birds");
        let table = import_table(&ATableName { ext: lent, ..lend_table(&table) }).map(drop);
        let transaction = lend_transaction(&TransactionOptions::default());
        let transaction = import_transaction(&ATransactionOptions { ext: lent, ..transaction }).map(drop);
        for outcome in [options, table, transaction] {
            assert_eq!(
                outcome.map_err(|error| error.kind),
                is_taken.then_some(()).ok_or(ErrorKind::Unsupported)
            );
        }
        let is_answered = EncodedText::new(&Text::Commit)
            .lend(|text| decode(&AText { arguments: lent, ..text }, |_| ()).is_some());
        assert_eq!(is_answered, is_taken);
        let mut next = export_next(Some(Next::Batch(Head::new("1", Mode::Atomic, 1))));
        if let ROption::RSome(head) = &mut next.head {
            head.ext.push(Tuple2(key, RVec::new()));
        }
        assert_eq!(import_next(next).is_some(), is_taken);
    }
}
