use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_adapter_api::{Feature, Lexer};

use super::*;
use crate::source::Content;

const PATTERNS: &[(&str, Class)] = &[
    ("COMMIT AND CHAIN", Class::Begin),
    ("BEGIN", Class::Begin),
    ("START TRANSACTION", Class::Begin),
    ("SET ... AUTOCOMMIT = 0", Class::Begin),
    ("SET ... AUTOCOMMIT =", Class::Commit),
    ("SET", Class::Setting),
    ("PREPARE TRANSACTION", Class::Rollback),
    ("END", Class::Commit),
    ("COMMIT", Class::Commit),
    ("ROLLBACK", Class::Rollback),
    ("VACUUM", Class::NoTransaction),
    ("CREATE", Class::ImplicitCommit),
    ("PRAGMA", Class::Outside),
    ("LOCK TABLES", Class::LockTables),
    ("UNLOCK TABLES", Class::UnlockTables),
    ("... ROW_COUNT", Class::ReadsPrevious),
    ("COPY ... FROM STDIN", Class::CopyFromStdin),
    ("\\restrict", Class::Skipped),
];

const ALL: &[Capability] = &[Capability::Transactions, Capability::TransactionalDdl];

fn rules() -> Rules {
    let mut lexer = Lexer::new(&[Feature::BackslashCommands], PATTERNS);
    let more = ["SET", "SESSION", "AUTOCOMMIT", "0", "1", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"];
    lexer.plain_control.extend(more.map(str::to_owned));
    Rules::new(&lexer).expect("the patterns are sound")
}

fn script(text: &str) -> Script {
    Script {
        path: PathBuf::from("a.sql"),
        first_line: 1,
        content: Content::Bytes(Arc::from(text.as_bytes())),
    }
}

fn outline(text: &str) -> Outline {
    Outline::scan(&script(text), &rules(), &["log".to_owned()]).expect("a script")
}

fn treat(text: &str, transaction: Transaction) -> Result<Treatment, Vec<Name>> {
    let capabilities = ALL.iter().copied().collect();
    let circumstances = Circumstances { capabilities: &capabilities, transaction };
    let treatment = Treatment::of(&outline(text), &script(text), &circumstances);
    treatment.map_err(|problems| problems.iter().map(|problem| problem.name).collect())
}

fn whole(text: &str) -> Result<Treatment, Vec<Name>> {
    treat(text, Transaction::Whole)
}

fn stepwise(text: &str) -> Treatment {
    treat(text, Transaction::None).expect("a treatment")
}

fn numbers(set: &BTreeSet<u64>) -> Vec<u64> {
    set.iter().copied().collect()
}

#[test]
fn an_ordinary_script_is_one_transaction() {
    let treatment = whole("INSERT 1; INSERT 2;").expect("a treatment");
    assert_eq!((treatment.mode, treatment.statements), (Mode::Atomic, 2));
}

#[test]
fn an_outer_transaction_becomes_ours() {
    let treatment = whole("BEGIN; INSERT 1; COMMIT;").expect("a treatment");
    assert_eq!(
        (treatment.mode, numbers(&treatment.left_out), treatment.statements),
        (Mode::Atomic, vec![0, 2], 1)
    );
}

#[test]
fn what_is_refused_is_shown_with_its_whole_line() {
    let capabilities = ALL.iter().copied().collect();
    let circumstances = Circumstances { capabilities: &capabilities, transaction: Transaction::Whole };
    let script = script("INSERT 1; COMMIT;\nINSERT 2;");
    let outline = Outline::scan(&script, &rules(), &[]).expect("a script");
    let problems = Treatment::of(&outline, &script, &circumstances).expect_err("a COMMIT in the middle");
    let place = &problems[0].places[0];
    assert_eq!(
        (place.line, place.column, place.excerpt.as_deref()),
        (Some(1), Some(11), Some("INSERT 1; COMMIT;"))
    );
}

#[test]
fn lines_that_are_skipped_do_not_stand_outside_the_outer_transaction() {
    let treatment = whole("\\restrict x\nBEGIN; INSERT 1; COMMIT;").expect("a treatment");
    assert_eq!(numbers(&treatment.left_out), [0, 1, 3]);
}

#[test]
fn settings_around_the_transaction_may_stand_outside_the_outer_one() {
    let treatment =
        whole("PRAGMA fk = OFF; BEGIN; INSERT 1; COMMIT; PRAGMA main.FK (1);").expect("a treatment");
    assert_eq!(
        (treatment.mode, numbers(&treatment.left_out), treatment.statements),
        (Mode::Atomic, vec![0, 1, 3, 4], 1)
    );
    assert_eq!(treatment.outside, ["PRAGMA fk = OFF"]);
}

/// The head of phpMyAdmin's files, and what some write behind them.
#[test]
fn an_outer_transaction_may_be_begun_and_ended_twice() {
    let text = "SET mode = 'x'; SET AUTOCOMMIT = 0; START TRANSACTION; SET zone = '+00:00'; CREATE x; INSERT 1; \
                COMMIT; SET @@session.autocommit = 1; SET charset = @old;";
    let treatment = whole(text).expect("a treatment");
    assert_eq!((treatment.mode, treatment.statements), (Mode::Stepwise, 5));
    assert_eq!(numbers(&treatment.left_out), [1, 2, 6, 7]);
    assert!(treatment.unmarked.is_empty(), "there is no transaction of the file's own any more");
    let data = whole("SET AUTOCOMMIT = 0; START TRANSACTION; INSERT 1; COMMIT;").expect("a treatment");
    assert_eq!((data.mode, data.statements), (Mode::Atomic, 1));
}

#[test]
fn a_transaction_without_a_word_for_it_is_refused_unless_it_is_around_the_file() {
    for text in [
        "CREATE x; SET autocommit = 0; INSERT 1; INSERT 2;",
        "CREATE x; SET autocommit = 0; INSERT 1; COMMIT;",
        "SET autocommit = 0; INSERT 1; COMMIT; INSERT 2;",
        "SET autocommit = 0; INSERT 1; START TRANSACTION; INSERT 2; COMMIT;",
        "START TRANSACTION; INSERT 1; COMMIT; INSERT 2; SET autocommit = 1;",
        "SET names = 'x', autocommit = 0; INSERT 1; COMMIT;",
    ] {
        let names = whole(text).expect_err(text);
        assert!(names.iter().all(|name| *name == Name::TransactionControl), "{text}: {names:?}");
    }
    let own = stepwise("CREATE x; SET autocommit = 0; INSERT 1; COMMIT; INSERT 2;");
    assert_eq!((numbers(&own.unmarked), own.statements), (vec![1, 2], 5));
}

#[test]
fn an_outer_transaction_is_understood_in_all_its_plain_spellings() {
    for (begin, commit) in [
        ("begin work", "commit work"),
        ("BEGIN TRANSACTION", "COMMIT TRANSACTION"),
        ("BEGIN IMMEDIATE", "END"),
        ("BEGIN /* at once */ EXCLUSIVE TRANSACTION", "END TRANSACTION"),
        ("BEGIN DEFERRED", "END WORK"),
        ("START\nTRANSACTION", "COMMIT -- SERIALIZABLE\n"),
    ] {
        let treatment = whole(&format!("{begin}; INSERT 1; {commit};")).expect(begin);
        assert_eq!(numbers(&treatment.left_out), [0, 2], "{begin}");
    }
}

/// `BEGIN ISOLATION LEVEL SERIALIZABLE` ran at the default level, and nothing said so.
#[test]
fn options_of_the_outer_transaction_are_refused_and_kept_on_request() {
    for (begin, commit) in [
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT"),
        ("BEGIN\nREAD ONLY", "COMMIT"),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", "COMMIT"),
        ("BEGIN", "COMMIT RELEASE"),
        ("BEGIN", "END AND NO CHAIN"),
    ] {
        let text = format!("{begin}; INSERT 1; {commit};");
        assert_eq!(whole(&text), Err(vec![Name::TransactionControl]), "{text}");
        assert!(stepwise(&text).left_out.is_empty(), "{text}");
    }
}

#[test]
fn a_prepared_transaction_is_ended_but_never_taken_for_committed() {
    let text = "BEGIN; INSERT 1; PREPARE TRANSACTION 'x';";
    assert_eq!(whole(text), Err(vec![Name::TransactionControl, Name::TransactionControl]));
    assert_eq!(numbers(&stepwise(text).unmarked), [0, 1]);
}

#[test]
fn a_chained_transaction_must_end_as_well() {
    let text = "BEGIN; INSERT 1; COMMIT AND CHAIN;";
    assert_eq!(whole(text), Err(vec![Name::TransactionControl, Name::TransactionControl]));
    assert_eq!(treat(text, Transaction::None), Err(vec![Name::TransactionControl]));
    let ended = stepwise("BEGIN; INSERT 1; COMMIT AND CHAIN; INSERT 2; COMMIT;");
    assert_eq!(numbers(&ended.unmarked), [0, 1, 2, 3]);
}

#[test]
fn any_other_transaction_control_is_refused() {
    for text in [
        "INSERT 1; COMMIT; INSERT 2;",
        "BEGIN; INSERT 1;",
        "BEGIN; INSERT 1; ROLLBACK;",
        "BEGIN; INSERT 1; COMMIT; INSERT 2;",
        "INSERT 0; BEGIN; INSERT 1; COMMIT;",
        "BEGIN; INSERT 1; PRAGMA fk = OFF; COMMIT; INSERT 2;",
        "BEGIN; INSERT 1; COMMIT; BEGIN; INSERT 2; COMMIT;",
    ] {
        let names = whole(text).expect_err(text);
        assert!(names.iter().all(|name| *name == Name::TransactionControl), "{text}: {names:?}");
    }
}

#[test]
fn a_transaction_of_its_own_is_kept_on_request_and_must_end() {
    let treatment = stepwise("INSERT 0; BEGIN; INSERT 1; COMMIT; INSERT 2;");
    assert_eq!(treatment.mode, Mode::Stepwise);
    assert!(treatment.left_out.is_empty());
    assert_eq!(numbers(&treatment.unmarked), [1, 2], "a mark inside could be rolled back");
    assert_eq!(treat("BEGIN; INSERT 1;", Transaction::None), Err(vec![Name::TransactionControl]));
}

#[test]
fn what_refuses_a_transaction_runs_by_itself_or_not_at_all() {
    assert_eq!(whole("VACUUM;").map(|treatment| treatment.mode), Ok(Mode::Stepwise));
    assert_eq!(whole("VACUUM; VACUUM;").map(|treatment| treatment.mode), Ok(Mode::Stepwise));
    assert_eq!(whole("INSERT 1; VACUUM;"), Err(vec![Name::MixedTransaction]));
    assert_eq!(stepwise("INSERT 1; VACUUM;").mode, Mode::Stepwise);
}

#[test]
fn what_commits_by_itself_makes_a_script_stepwise() {
    assert_eq!(whole("CREATE x; INSERT 1;").map(|treatment| treatment.mode), Ok(Mode::Stepwise));
    assert_eq!(whole("LOCK TABLES x; INSERT 1;").map(|treatment| treatment.mode), Ok(Mode::Stepwise));
}

#[test]
fn a_table_without_transactions_makes_a_script_stepwise() {
    assert_eq!(whole("INSERT INTO LOG VALUES (1);").map(|treatment| treatment.mode), Ok(Mode::Stepwise));
    assert_eq!(whole("INSERT INTO \"LOG\" VALUES (1);").map(|treatment| treatment.mode), Ok(Mode::Atomic));
    assert_eq!(whole("INSERT INTO a VALUES ('log');").map(|treatment| treatment.mode), Ok(Mode::Atomic));
}

#[test]
fn a_setting_goes_around_the_transaction_once() {
    let treatment = whole("PRAGMA fk = OFF; INSERT 1; PRAGMA FK = ON;").expect("a treatment");
    assert_eq!(treatment.outside, ["PRAGMA fk = OFF"]);
    assert_eq!(
        (numbers(&treatment.left_out), treatment.statements, treatment.remarks.len()),
        (vec![0, 2], 1, 1)
    );
}

#[test]
fn no_mark_is_made_where_it_would_break_the_script() {
    let locked = stepwise("INSERT 0; LOCK TABLES a; INSERT 1; CREATE x; UNLOCK TABLES; INSERT 2;");
    assert_eq!(numbers(&locked.unmarked), [1, 2, 3]);
    assert_eq!(numbers(&stepwise("INSERT 0; SELECT ROW_COUNT();").unmarked), [0]);
    assert_eq!(numbers(&stepwise("LOCK TABLES a; INSERT 1;").unmarked), [0, 1]);
    assert_eq!(numbers(&stepwise("BEGIN; INSERT 1; CREATE x; INSERT 2; COMMIT;").unmarked), [0, 1]);
}

#[test]
fn a_mark_is_joined_where_statement_and_mark_go_together() {
    let marking = |text: &str, index, class| stepwise(text).marking(index, class);
    let script = "CREATE x; INSERT 1; SELECT ROW_COUNT();";
    assert_eq!(marking(script, 0, Class::ImplicitCommit), Marking::Marked);
    assert_eq!(marking(script, 1, Class::Transactional), Marking::Unmarked, "its count is asked for");
    assert_eq!(marking("CREATE x; INSERT 1;", 1, Class::Transactional), Marking::Joined);
    // A table that cannot roll back keeps its rows when the mark is taken back.
    assert_eq!(marking("INSERT INTO log 1; INSERT 2;", 1, Class::Transactional), Marking::Marked);
}

#[test]
fn data_in_a_script_needs_an_adapter_that_can_send_it() {
    assert_eq!(whole("COPY a FROM STDIN;"), Err(vec![Name::Unsupported]));
}

#[test]
fn a_number_among_the_sent_statements_leads_back_to_the_file() {
    let treatment = whole("\\restrict x\nBEGIN; INSERT 1; \nINSERT 2; COMMIT;").expect("a treatment");
    assert_eq!([0, 1].map(|sent| treatment.index_in_file(sent)), [2, 3]);
}

#[test]
fn a_place_is_found_again_with_its_line() {
    let place = locate(&script("INSERT 1;\n\tINSERT x;"), &rules(), 1, 7).expect("a place");
    assert_eq!((place.line, place.column), (Some(2), Some(9)));
    assert_eq!(place.excerpt.as_deref(), Some("\tINSERT x;"));
}

#[test]
fn a_script_from_a_header_keeps_the_lines_of_its_file() {
    let script = Script { first_line: 3, ..script("INSERT x;") };
    assert_eq!(locate(&script, &rules(), 0, 0).and_then(|place| place.line), Some(3));
}

#[test]
fn a_string_that_is_never_closed_is_told_with_its_place() {
    let problem = Outline::scan(&script("SELECT 1;\nSELECT 'x;"), &rules(), &[]).expect_err("no end");
    assert_eq!(problem.name, Name::Script);
    assert_eq!((problem.places[0].line, problem.places[0].column), (Some(2), Some(8)));
}

#[test]
fn settings_of_its_own_are_told_of_a_script() {
    for (text, own_settings) in [
        ("SELECT 1; INSERT INTO a VALUES (1);", OwnSettings::None),
        ("SELECT 1; SET statement_timeout = 0; SELECT 2;", OwnSettings::Made),
        ("PRAGMA foreign_keys = OFF; SELECT 1;", OwnSettings::Made),
    ] {
        assert_eq!(whole(text).expect("a treatment").own_settings, own_settings, "{text}");
        assert_eq!(stepwise(text).own_settings, own_settings, "{text}");
    }
}
