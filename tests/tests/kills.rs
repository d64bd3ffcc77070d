//! Runners that are killed at random moments, on every engine: the short form of `cargo xtask soak`.
//!
//! The seed is fixed, so that two runs of the suite differ by the machine's moods alone; the soak itself draws a new one
//! each time.

use whimbrel_tests::soak::{BENCHES, Soak};

const SEED: u64 = 4711;

/// Ten runners are killed and started again until all migrations are applied. Then each of them has taken effect once and stands in the history once, whatever was killed.
#[test]
fn killed_runners_apply_each_migration_once_on_every_engine() {
    let soak = Soak::short(SEED);
    for bench in BENCHES {
        let tally = soak.run(bench, &|_| {});
        assert!(tally.is_clean(), "{}", tally.reports.join("\n"));
        // Where everything can be rolled back nobody has to look.
        assert!(bench.name != "sqlite" || tally.settled == 0, "{tally:?}");
        assert!(tally.kills >= soak.kills && tally.restarts == tally.kills, "{}: {tally:?}", bench.name);
    }
}
