use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_adapter_api::{RowDirection, RowState};

use super::*;
use crate::source::{Content, Version};

/// Returns the migrations with these ids, each with a down script.
fn files(ids: &[&str]) -> Migrations {
    Migrations { list: ids.iter().map(|id| migration(id)).collect(), history_table: None }
}

fn migration(id: &str) -> Migration {
    Migration {
        id: Id(id.to_owned()),
        version: Version::parse(id.split('_').next().unwrap_or_default()).expect("a version"),
        up: script(&format!("{id}.sql"), "SELECT 1"),
        down: Some(script(&format!("{id}.down.sql"), "SELECT 2")),
        checksum: Checksum::of(b"SELECT 1"),
        title: None,
        created: None,
        depends: Vec::new(),
        environments: Vec::new(),
        transaction: Transaction::Whole,
        down_transaction: Transaction::Whole,
    }
}

fn script(path: &str, text: &str) -> Script {
    Script { path: PathBuf::from(path), first_line: 1, content: Content::Bytes(Arc::from(text.as_bytes())) }
}

/// Returns the history that `words` tell: `+a` applied, `-a` taken back, `>a` started, `<a` a down started,
/// `!a` failed in part, `?a` a down failed in part, `=a` baseline.
fn history(words: &str) -> History {
    let rows = words.split_whitespace().zip(1..).map(|(word, position)| {
        let (mark, id) = word.split_at(1);
        let (direction, state) = match mark {
            "+" => (RowDirection::Up, RowState::Applied),
            "-" => (RowDirection::Down, RowState::Reverted),
            ">" => (RowDirection::Up, RowState::Started),
            "<" => (RowDirection::Down, RowState::Started),
            "!" => (RowDirection::Up, RowState::Failed),
            "?" => (RowDirection::Down, RowState::Failed),
            _ => (RowDirection::Up, RowState::Baseline),
        };
        row(position, id, direction, state)
    });
    History::new(rows.collect())
}

fn row(position: i64, id: &str, direction: RowDirection, state: RowState) -> HistoryRow {
    HistoryRow {
        position,
        migration: id.to_owned(),
        attempt: position,
        direction,
        state,
        checksum: Some(Checksum::of(b"SELECT 1").to_string()),
        statements_done: 1,
        runner: Runner::default(),
        statements_total: 2,
        lease_ms: None,
        started_at: None,
        finished_at: Some("2026-01-31T13:05:00Z".to_owned()),
        duration_ms: None,
        applied_by: "ana@build-7".to_owned(),
        down: StoredDown::Absent,
    }
}

fn rules() -> Rules {
    Rules { database: "app".to_owned(), out_of_order: OutOfOrder::Refuse, environment: None }
}

fn to(id: &str) -> Target {
    Target::To(Id(id.to_owned()))
}

fn ids(plan: &Plan) -> String {
    plan.steps.iter().map(|step| step.id.0.as_str()).collect::<Vec<_>>().join(" ")
}

fn planned_up(files: &Migrations, words: &str, target: &Target) -> String {
    ids(&up(files, &history(words), target, &rules()).expect("a plan"))
}

fn planned_down(files: &Migrations, words: &str, target: &Target) -> String {
    ids(&down(files, &history(words), target, &rules()).expect("a plan"))
}

fn names(answer: Result<Plan>) -> Vec<Name> {
    answer.expect_err("problems").problems.iter().map(|problem| problem.name).collect()
}

#[test]
fn up_runs_what_is_pending_in_the_order_of_versions() {
    let files = files(&["1_a", "2_b", "3_c"]);
    assert_eq!(planned_up(&files, "", &Target::All), "1_a 2_b 3_c");
    assert_eq!(planned_up(&files, "+1_a", &Target::All), "2_b 3_c");
    assert_eq!(planned_up(&files, "+1_a +2_b +3_c", &Target::All), "");
    assert_eq!(planned_up(&files, "=1_a =2_b", &Target::All), "3_c");
    assert_eq!(planned_up(&files, "+1_a +2_b -2_b", &Target::All), "2_b 3_c");
}

#[test]
fn up_stops_where_it_is_told_to() {
    let files = files(&["1_a", "2_b", "3_c"]);
    assert_eq!(planned_up(&files, "", &Target::Steps(2)), "1_a 2_b");
    assert_eq!(planned_up(&files, "+1_a", &Target::Steps(1)), "2_b");
    assert_eq!(planned_up(&files, "", &to("2_b")), "1_a 2_b");
    assert_eq!(planned_up(&files, "+1_a +2_b", &to("2_b")), "");
}

#[test]
fn down_takes_back_in_the_reverse_order_of_application() {
    let files = files(&["1_a", "2_b", "3_c"]);
    assert_eq!(planned_down(&files, "+1_a +2_b +3_c", &Target::Steps(1)), "3_c");
    assert_eq!(planned_down(&files, "+2_b +3_c +1_a", &Target::Steps(2)), "1_a 3_c");
    assert_eq!(planned_down(&files, "+1_a +2_b +3_c", &to("1_a")), "3_c 2_b");
    assert_eq!(planned_down(&files, "+1_a +2_b", &Target::All), "2_b 1_a");
    assert_eq!(planned_down(&files, "", &Target::Steps(1)), "");
}

#[test]
fn going_back_to_what_is_not_applied_is_refused() {
    let answer = down(&files(&["1_a", "2_b"]), &history("+1_a"), &to("2_b"), &rules());
    assert_eq!(names(answer), [Name::MigrationUnknown]);
}

#[test]
fn a_started_row_counts_as_what_was_before_it_when_steps_are_counted() {
    let files = files(&["1_a", "2_b"]);
    let up = up(&files, &history(">1_a"), &Target::Steps(1), &rules()).expect("a plan");
    assert_eq!(up.pins, [Pin { id: Id("1_a".to_owned()), basis: 0 }]);
    assert_eq!(ids(&up), "", "the other runner does it");
    let down = down(&files, &history("+1_a +2_b <2_b"), &Target::Steps(1), &rules()).expect("a plan");
    assert_eq!(down.pins, [Pin { id: Id("2_b".to_owned()), basis: 2 }]);
    assert_eq!(ids(&down), "", "the other runner does it");
}

#[test]
fn a_pinned_migration_that_another_runner_settled_is_left_alone() {
    let files = files(&["1_a", "2_b"]);
    let pinned = |words: &str, target: Target| {
        Target::Pinned(down(&files, &history(words), &target, &rules()).expect("a plan").pins)
    };
    let pins = pinned("+1_a +2_b", Target::Steps(1));
    assert_eq!(planned_down(&files, "+1_a +2_b", &pins), "2_b");
    assert_eq!(planned_down(&files, "+1_a +2_b -2_b", &pins), "", "taken back by the other");
    assert_eq!(planned_down(&files, "+1_a +2_b -2_b +2_b", &pins), "", "and applied again since");

    let pins = Target::Pinned(up(&files, &history(""), &Target::Steps(1), &rules()).expect("a plan").pins);
    assert_eq!(planned_up(&files, "", &pins), "1_a");
    assert_eq!(planned_up(&files, "+1_a", &pins), "");
    assert_eq!(planned_up(&files, "+1_a -1_a", &pins), "", "applied and taken back by others");
}

#[test]
fn a_choice_is_overtaken_when_another_run_went_the_other_way() {
    let files = files(&["1_a", "2_b", "3_c"]);
    let up_then = |before: &str, after: &str| {
        let pins = up(&files, &history(before), &Target::All, &rules()).expect("a plan").pins;
        up(&files, &history(after), &Target::Pinned(pins), &rules()).expect("a plan").choice
    };
    assert_eq!(up_then("+1_a", "+1_a +2_b"), Choice::Stands, "another up was faster");
    assert_eq!(up_then("+1_a +2_b", "+1_a +2_b -2_b"), Choice::Overtaken, "3_c would stand above a gap");
    let down_then = |before: &str, after: &str| {
        let pins = down(&files, &history(before), &Target::Steps(1), &rules()).expect("a plan").pins;
        down(&files, &history(after), &Target::Pinned(pins), &rules()).expect("a plan").choice
    };
    assert_eq!(down_then("+1_a +2_b", "+1_a +2_b -2_b"), Choice::Stands, "another down was faster");
    assert_eq!(down_then("+1_a +2_b", "+1_a +2_b +3_c"), Choice::Overtaken, "3_c would stand on a gap");
}

#[test]
fn every_disagreement_is_found_at_once() {
    let mut files = files(&["1_a", "2_b", "4_d"]);
    files.list[0].checksum = Checksum::of(b"edited");
    files.list[1].checksum = Checksum::of(b"new");
    let answer = up(&files, &history("+1_a +3_gone +4_d !5_half"), &Target::All, &rules());
    // What is half done is told once, not also as a file that is missing.
    let expected = [Name::PartlyApplied, Name::EditedAfterApply, Name::FileMissing, Name::OutOfOrder];
    assert_eq!(names(answer), expected);
}

#[test]
fn an_older_pending_migration_runs_only_where_that_is_allowed() {
    let files = files(&["1_a", "2_b", "3_c"]);
    let with = |out_of_order| Rules { out_of_order, ..rules() };
    let history = history("+1_a +3_c");
    assert_eq!(names(up(&files, &history, &Target::All, &rules())), [Name::OutOfOrder]);
    let warned = up(&files, &history, &Target::All, &with(OutOfOrder::Warn)).expect("a plan");
    assert_eq!((ids(&warned), warned.warnings.len()), ("2_b".to_owned(), 1));
    let allowed = up(&files, &history, &Target::All, &with(OutOfOrder::Allow)).expect("a plan");
    assert_eq!((ids(&allowed), allowed.warnings.len()), ("2_b".to_owned(), 0));
}

#[test]
fn verify_finds_an_older_pending_migration_unless_it_may_be_applied() {
    let (files, history) = (files(&["1_a", "2_b"]), history("+2_b"));
    let found = |out_of_order| {
        let problems = disagreements(&files, &history, &Rules { out_of_order, ..rules() });
        problems.iter().map(|problem| problem.name).collect::<Vec<_>>()
    };
    assert_eq!(found(OutOfOrder::Refuse), [Name::OutOfOrder]);
    assert_eq!(found(OutOfOrder::Warn), []);
    assert_eq!(found(OutOfOrder::Allow), []);
}

#[test]
fn a_migration_for_another_environment_is_left_out() {
    let mut files = files(&["1_a", "2_seed"]);
    files.list[1].environments = vec!["dev".to_owned()];
    let with = |environment: Option<&str>| Rules { environment: environment.map(str::to_owned), ..rules() };
    let planned =
        |environment| ids(&up(&files, &history(""), &Target::All, &with(environment)).expect("a plan"));
    assert_eq!(planned(None), "1_a");
    assert_eq!(planned(Some("prod")), "1_a");
    assert_eq!(planned(Some("dev")), "1_a 2_seed");
}

#[test]
fn what_a_migration_depends_on_must_be_applied_or_run_before_it() {
    let mut files = files(&["1_a", "2_b"]);
    files.list[0].environments = vec!["dev".to_owned()];
    files.list[1].depends = vec![Id("1_a".to_owned())];
    assert_eq!(names(up(&files, &history(""), &Target::All, &rules())), [Name::DependencyMissing]);
    files.list[0].environments.clear();
    assert_eq!(planned_up(&files, "", &Target::All), "1_a 2_b");
}

#[test]
fn a_half_done_migration_is_gone_on_with_before_anything_else() {
    let files = files(&["1_a", "2_b", "3_c"]);
    let plan = up(&files, &history("!2_b"), &Target::All, &rules()).expect("a plan");
    assert_eq!(ids(&plan), "2_b 1_a 3_c");
    let resumed = Resumed { position: 1, statements_done: 1, next: NextStatement::NotApplied };
    assert_eq!(plan.steps[0].resumes, Some(resumed));
    assert!(plan.steps[1..].iter().all(|step| step.resumes.is_none()));
    let plan = down(&files, &history("+1_a +2_b ?1_a"), &Target::All, &rules()).expect("a plan");
    assert_eq!(ids(&plan), "1_a 2_b");
    assert_eq!(plan.steps[0].resumes.map(|resumed| resumed.position), Some(3));
}

#[test]
fn a_migration_whose_runner_is_gone_is_gone_on_with_in_doubt_about_one_statement() {
    let files = files(&["1_a"]);
    let abandoned = history(">1_a").with_abandoned(1);
    let plan = up(&files, &abandoned, &Target::All, &rules()).expect("a plan");
    assert_eq!(plan.steps[0].resumes.map(|resumed| resumed.next), Some(NextStatement::InFlight));
    assert_eq!(planned_up(&files, ">1_a", &Target::All), "", "as long as it may be at work it is left alone");
}

#[test]
fn nothing_runs_beside_a_migration_that_is_half_done_the_other_way_or_out_of_reach() {
    let files = files(&["1_a", "2_b"]);
    let partly = |plan: Result<Plan>| assert_eq!(names(plan), [Name::PartlyApplied]);
    partly(down(&files, &history("+1_a !2_b"), &Target::Steps(1), &rules()));
    partly(up(&files, &history("+1_a ?1_a"), &Target::All, &rules()));
    partly(up(&files, &history("!2_b"), &Target::To(Id("1_a".to_owned())), &rules()));
    partly(up(&files, &history("!1_a !2_b"), &Target::Steps(1), &rules()));
}

/// Another run that failed has not settled the migration, and another one that succeeded has.
#[test]
fn a_half_done_migration_stays_chosen_until_somebody_settles_it() {
    let files = files(&["1_a"]);
    let first = up(&files, &history("!1_a"), &Target::All, &rules()).expect("a plan");
    let pinned = Target::Pinned(first.pins);
    assert_eq!(planned_up(&files, "!1_a !1_a", &pinned), "1_a");
    assert_eq!(planned_up(&files, "!1_a +1_a", &pinned), "");
    assert_eq!(planned_up(&files, "!1_a +1_a -1_a", &pinned), "", "another run took it back");
}

#[test]
fn a_half_done_migration_is_not_out_of_order() {
    let files = files(&["1_a", "2_b"]);
    assert_eq!(planned_up(&files, "!1_a +2_b", &Target::All), "1_a");
}

#[test]
fn down_prefers_the_file_and_falls_back_to_the_stored_script() {
    let mut stored = row(1, "1_a", RowDirection::Up, RowState::Applied);
    stored.down = StoredDown::Present;
    let stored = History::new(vec![stored]);
    let script = |files: &Migrations, history: &History| {
        let plan = down(files, history, &Target::Steps(1), &rules()).expect("a plan");
        match &plan.steps[0].script {
            StepScript::Source(script) => script.path.display().to_string(),
            StepScript::Stored(position) => format!("row {position}"),
        }
    };
    let present = files(&["1_a"]);
    assert_eq!(script(&present, &stored), "1_a.down.sql");
    assert_eq!(script(&files(&[]), &stored), "row 1", "the file is gone");
    let mut edited = files(&["1_a"]);
    edited.list[0].checksum = Checksum::of(b"edited");
    assert_eq!(script(&edited, &stored), "row 1", "the stored one belongs to what is in the database");
    assert_eq!(script(&edited, &history("+1_a")), "1_a.down.sql", "nothing else is left");
}

#[test]
fn a_migration_that_nothing_takes_back_is_refused() {
    let mut files = files(&["1_a"]);
    files.list[0].down = None;
    assert_eq!(names(down(&files, &history("+1_a"), &Target::Steps(1), &rules())), [Name::Irreversible]);
}

#[test]
fn each_attempt_has_the_next_number() {
    let files = files(&["1_a"]);
    let plan = up(&files, &history("+1_a -1_a"), &Target::All, &rules()).expect("a plan");
    assert_eq!(plan.steps[0].attempt, 3);
}
