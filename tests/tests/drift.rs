//! Files that are not what they were when they were applied: all of it is told at once, each with its way out.

use insta::assert_snapshot;
use whimbrel_tests::birds::{history, project};

#[test]
fn everything_in_which_files_and_history_disagree_is_told_before_anything_runs() {
    let project = project().file("migrations/sqlite/004_rings.sql", "CREATE TABLE rings (code TEXT);\n");
    project.write("migrations/sqlite/005_nests.sql", "CREATE TABLE nests (eggs INTEGER);\n");
    let _ = project.run(["up"]).exits(0);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id INTEGER PRIMARY KEY);\n");
    let sites = project.read("migrations/sqlite/002_sites.sql");
    project.write("migrations/sqlite/002_sites.sql", sites.replace("where we watch", "where we look"));
    project.write("migrations/sqlite/002.5_early.sql", "CREATE TABLE early (a TEXT);\n");
    let rings = project.read("migrations/sqlite/004_rings.sql");
    project.remove("migrations/sqlite/004_rings.sql");
    project.write("migrations/sqlite/004_bands.sql", rings);
    project.remove("migrations/sqlite/005_nests.sql");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[edited-after-apply]: `001_species` changed after it was applied
      --> migrations/sqlite/001_species.up.sql
      applied [TIME] with checksum v1:33e85d81, the file now has v1:2b905e91
    state: nothing was run
    hint: restore the file and put the change in a new migration; to keep the edit, `whimbrel repair sqlite 001_species --accept-checksum`

    error[edited-after-apply]: `002_sites` changed after it was applied
      --> migrations/sqlite/002_sites.sql
      applied [TIME] with checksum v1:8f624c85, the file now has v1:9d8030fd
      only comments, or the space between statements, are not what they were
    state: nothing was run
    hint: restore the file and put the change in a new migration; to keep the edit, `whimbrel repair sqlite 002_sites --accept-checksum`

    error[renamed]: `004_rings` is applied, and its file is now called `004_bands`
      --> migrations/sqlite/004_bands.sql
      applied [TIME] by [USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0
    state: nothing was run
    hint: name it `004_rings` again; to keep the new name, `whimbrel repair sqlite 004_bands --applied`, then `whimbrel repair sqlite 004_rings --reverted`

    error[file-missing]: `005_nests` is applied and its file is gone
      applied [TIME] by [USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0
    state: nothing was run
    hint: restore the file: was it renamed, or is it on another branch?

    error[out-of-order]: `002.5_early` is pending and older than `003_counts`
      --> migrations/sqlite/002.5_early.sql
      `003_counts` is already applied
    state: nothing was run
    hint: give it a version after the newest one, or run it late with `--allow-out-of-order`
    ");
    let _ = project.run(["verify"]).exits(1);
    assert_eq!(history(&project).len(), 5, "nothing was run");
}

#[test]
fn a_new_name_is_kept_when_the_history_is_told_of_it() {
    let project = project();
    let _ = project.run(["up"]).exits(0);
    let sites = project.read("migrations/sqlite/002_sites.sql");
    project.remove("migrations/sqlite/002_sites.sql");
    project.write("migrations/sqlite/002_places.sql", sites);
    let refused = project.run(["up"]).exits(4);
    assert!(refused.mentions("error[renamed]") && !refused.mentions("error[out-of-order]"), "{refused:?}");
    let _ = project.run(["repair", "002_places", "--applied"]).exits(0);
    let _ = project.run(["repair", "002_sites", "--reverted"]).exits(0);
    let _ = project.run(["verify"]).exits(0);
    let _ = project.run(["up"]).exits(0);
}

/// A copy under a second name is a new migration, as long as the first one is there.
#[test]
fn a_copy_of_an_applied_file_is_no_new_name_of_it() {
    let project = project();
    let _ = project.run(["up"]).exits(0);
    project.write("migrations/sqlite/004_again.sql", "DROP TABLE counts;\n");
    project.write("migrations/sqlite/005_counts.sql", project.read("migrations/sqlite/003_counts/up.sql"));
    let _ = project.run(["up"]).exits(0);
}
