//! Files as people write them for MySQL and MariaDB, through the real binary.

use insta::assert_snapshot;
use whimbrel_tests::{Database, MariaDb, Outcome, Project, servers};

/// Returns a project with these files in the folder `mysql`.
fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new();
    for (name, text) in files {
        project.write(&format!("migrations/mysql/{name}"), text);
    }
    project
}

fn up(project: &Project, database: &MariaDb) -> Outcome {
    project.run(["up", "mysql", "--url", &database.url()])
}

/// Runs one file on a fresh database.
fn up_with(text: &str) -> (MariaDb, Outcome) {
    let database = MariaDb::fresh();
    let outcome = up(&project(&[("001_file.sql", text)]), &database);
    (database, outcome)
}

fn log(database: &MariaDb) -> Vec<String> {
    database.lines("SELECT migration, state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position")
}

// Programs inside files

#[test]
fn programs_run_with_a_delimiter_of_their_own() {
    let (database, outcome) = up_with(
        "CREATE TABLE birds (id integer PRIMARY KEY, name varchar(20));\n\
         DELIMITER //\n\
         CREATE PROCEDURE add_bird(IN number integer)\nBEGIN\n  -- a remark; with a semicolon\n  \
         INSERT INTO birds VALUES (number, 'it''s; a bird');\n  SELECT 'added';\nEND //\n\
         CREATE TRIGGER loud BEFORE INSERT ON birds FOR EACH ROW\nBEGIN\n  SET NEW.name = UPPER(NEW.name);\nEND//\n\
         DELIMITER ;\n\
         CALL add_bird(7);\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT * FROM birds"), ["7|IT'S; A BIRD"]);
    assert_eq!(log(&database), ["001_file|applied|4|4"]);
}

#[test]
fn programs_run_without_a_delimiter_too() {
    let (database, outcome) = up_with(
        "CREATE TABLE birds (id integer PRIMARY KEY, size integer);\n\
         CREATE PROCEDURE grow(IN times integer)\nBEGIN\n  DECLARE n integer DEFAULT 0;\n  \
         WHILE n < times DO\n    IF n = 0 THEN INSERT INTO birds VALUES (1, 0); ELSE UPDATE birds SET size = size + 1; END IF;\n    \
         SET n = n + 1;\n  END WHILE;\nEND;\n\
         CREATE FUNCTION word(n integer) RETURNS varchar(10) DETERMINISTIC\nBEGIN\n  \
         CASE n WHEN 1 THEN RETURN 'one'; ELSE RETURN 'many'; END CASE;\nEND;\n\
         CREATE TRIGGER sane BEFORE UPDATE ON birds FOR EACH ROW BEGIN\n  \
         IF NEW.size > 100 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too big;'; END IF;\nEND;\n\
         CALL grow(4);\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT id, size, word(1), word(size) FROM birds"), ["1|3|one|many"]);
    assert_eq!(log(&database), ["001_file|applied|5|5"]);
}

// Dumps

/// The shape of a file that mysqldump writes.
const DUMP: &str = "\
-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
DROP TABLE IF EXISTS `nests`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `nests` (
  `id` int NOT NULL AUTO_INCREMENT,
  `bird` int DEFAULT NULL,
  `note` varchar(50) DEFAULT NULL,
  PRIMARY KEY (`id`),
  CONSTRAINT `of_bird` FOREIGN KEY (`bird`) REFERENCES `birds` (`id`)
) ENGINE=InnoDB;
LOCK TABLES `nests` WRITE;
/*!40000 ALTER TABLE `nests` DISABLE KEYS */;
INSERT INTO `nests` VALUES (0,1,'zero; \\'quoted\\''),(1,1,NULL);
INSERT INTO `nests` VALUES (2,1,'/* no comment */ -- nor this');
/*!40000 ALTER TABLE `nests` ENABLE KEYS */;
UNLOCK TABLES;
CREATE TABLE `birds` (`id` int NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB;
LOCK TABLES `birds` WRITE;
INSERT INTO `birds` VALUES (1);
UNLOCK TABLES;
/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER `quiet` BEFORE INSERT ON `birds` FOR EACH ROW SET NEW.id = NEW.id */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;
";

#[test]
fn a_dump_with_locked_tables_is_loaded() {
    // The last line of a real dump puts back what its first lines have saved; this one has not saved it.
    let (database, outcome) = up_with(&DUMP.replace("/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n", ""));
    let _ = outcome.exits(0);
    assert_eq!(
        database.lines("SELECT id, note FROM nests ORDER BY id"),
        ["0|zero; 'quoted'", "1|NULL", "2|/* no comment */ -- nor this"]
    );
    assert_eq!(
        database.lines("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()"),
        ["1"]
    );
}

/// Under LOCK TABLES the history cannot be written, so what runs there is one step.
#[test]
fn a_failure_under_locked_tables_counts_what_was_done_before() {
    let database = MariaDb::fresh();
    let project = project(&[
        ("001_table.sql", "CREATE TABLE birds (id integer PRIMARY KEY);\n"),
        (
            "002_locked.sql",
            "INSERT INTO birds VALUES (1);\nLOCK TABLES birds WRITE;\nINSERT INTO birds VALUES (2);\n\
             INSERT INTO birds VALUES (1);\nUNLOCK TABLES;\n",
        ),
    ]);
    let _ = up(&project, &database).exits(5);
    assert_eq!(database.lines("SELECT id FROM birds ORDER BY id"), ["1", "2"]);
    assert_eq!(log(&database)[1], "002_locked|failed|3|5");
    // The lock went with the failure.
    database.execute("INSERT INTO birds VALUES (9)");
}

/// The shape of a file that phpMyAdmin writes.
const EXPORT: &str = "\
-- phpMyAdmin SQL Dump
SET SQL_MODE = \"NO_AUTO_VALUE_ON_ZERO\";
SET AUTOCOMMIT = 0;
START TRANSACTION;
SET time_zone = \"+00:00\";
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `birds` (`id` int(11) NOT NULL, `name` varchar(20)) ENGINE=InnoDB;
INSERT INTO `birds` (`id`, `name`) VALUES (0, 'it\\'s; one'), (1, 'two');
ALTER TABLE `birds` ADD PRIMARY KEY (`id`);
INSERT INTO `birds` (`id`, `name`) VALUES (2, 'three');
COMMIT;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
";

#[test]
fn a_file_of_phpmyadmin_is_loaded() {
    let (database, outcome) = up_with(EXPORT);
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT * FROM birds"), ["0|it's; one", "1|two", "2|three"]);
    assert_eq!(log(&database), ["001_file|applied|9|9"]);
}

/// Every statement is kept at once although the file asks for a transaction, so all of them count.
#[test]
fn a_failure_in_a_file_of_phpmyadmin_counts_what_is_there() {
    let (database, outcome) = up_with(&EXPORT.replace("VALUES (2,", "VALUES (1,"));
    let _ = outcome.exits(5);
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["2"]);
    assert_eq!(log(&database), ["001_file|failed|7|9"]);
}

// Transactions of a file's own

/// Rows that were rolled back were said to be in the database.
#[test]
fn autocommit_is_not_turned_off_in_the_middle_of_a_file() {
    for off in [
        "SET autocommit=0",
        "SET SESSION autocommit = off",
        "SET @@autocommit=0",
        "/*!40101 SET autocommit=0 */",
    ] {
        let (database, outcome) = up_with(&format!(
            "CREATE TABLE a (i int PRIMARY KEY);\n{off};\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);\n"
        ));
        let outcome = outcome.exits(4);
        assert!(outcome.mentions("transaction-control"), "{off}: {}", outcome.redacted());
        assert_eq!(database.lines("SHOW TABLES LIKE 'a'"), Vec::<String>::new(), "{off}");
    }
}

/// A file that runs its own transactions may, and the counts follow it.
#[test]
fn what_is_rolled_back_without_autocommit_does_not_count_as_done() {
    for (middle, done, rows) in [
        ("SET autocommit = 0;\nINSERT INTO a VALUES (1);\n", 3, "0"),
        ("SET NAMES utf8, @@session.autocommit = @off;\nINSERT INTO a VALUES (1);\n", 3, "0"),
        ("SET autocommit = 0;\nINSERT INTO a VALUES (1);\nCOMMIT;\nINSERT INTO a VALUES (2);\n", 5, "1"),
        (
            "SET autocommit = 0;\nINSERT INTO a VALUES (1);\nSET autocommit = @on;\nINSERT INTO a VALUES (2);\n",
            6,
            "2",
        ),
        (
            "SET autocommit = 0;\nINSERT INTO a VALUES (1);\nCREATE TABLE b (i int);\nINSERT INTO a VALUES (2);\n",
            5,
            "1",
        ),
        (
            "START TRANSACTION;\nINSERT INTO a VALUES (1);\nSET autocommit = 1;\nINSERT INTO a VALUES (2);\n",
            2,
            "0",
        ),
    ] {
        let (database, outcome) = up_with(&format!(
            "-- no-transaction\nCREATE TABLE a (i int PRIMARY KEY);\n\
             SET @on = 1, @off = 0;\n{middle}INSERT INTO nowhere VALUES (1);\nCOMMIT;\n"
        ));
        let outcome = outcome.exits(5);
        assert_eq!(database.lines("SELECT count(*) FROM a"), [rows], "{middle}");
        let log = log(&database);
        assert!(log[0].starts_with(&format!("001_file|failed|{done}|")), "{middle}: {log:?}");
        assert!(outcome.mentions(&format!("statements 1-{done} ")), "{middle}: {}", outcome.redacted());
    }
}

#[test]
fn transactions_of_several_servers_are_refused_before_anything_is_sent() {
    let (database, outcome) = up_with(
        "-- no-transaction\nCREATE TABLE a (i int PRIMARY KEY);\nXA START 'x';\nINSERT INTO a VALUES (1);\nXA END 'x';\n\
         XA PREPARE 'x';\nXA COMMIT 'x';\n",
    );
    let outcome = outcome.exits(1);
    assert!(outcome.mentions("START TRANSACTION … COMMIT"), "{}", outcome.redacted());
    assert_eq!(database.lines("SHOW TABLES"), ["whimbrel_migrations"]);
    assert_eq!(log(&database), Vec::<String>::new());
}

/// Exit 1 said "as it was before", and two rows stayed.
#[test]
fn a_commit_that_a_procedure_hides_is_not_called_rolled_back() {
    let database = MariaDb::fresh();
    let project = project(&[
        ("001_table.sql", "CREATE TABLE a (i int PRIMARY KEY);\nCREATE PROCEDURE p() COMMIT;\n"),
        ("002_data.sql", "INSERT INTO a VALUES (1);\nCALL p();\nINSERT INTO a VALUES (1);\n"),
    ]);
    let outcome = up(&project, &database).exits(5);
    assert!(outcome.mentions("statements 1-2 of `002_data` are in the database"), "{}", outcome.redacted());
    assert_eq!(database.lines("SELECT i FROM a"), ["1"]);
    assert_eq!(log(&database)[1], "002_data|failed|2|3");
}

// What a file leaves behind

#[test]
fn what_a_file_sets_does_not_reach_the_next_one() {
    let database = MariaDb::fresh();
    let looks = "CREATE TABLE seen AS SELECT @@sql_mode AS mode, @@foreign_key_checks AS checks, DATABASE() AS place, \
                 @@autocommit AS autocommit, @@tx_isolation AS isolation, IS_USED_LOCK('left') AS locked;\n";
    let project = project(&[
        (
            "001_leaves.sql",
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';\nSET foreign_key_checks = 0;\nDO GET_LOCK('left', 0);\n\
             SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;\nCREATE TABLE made (id integer);\n\
             USE mysql;\n",
        ),
        ("002_looks.sql", looks),
    ]);
    let _ = up(&project, &database).exits(0);
    let untouched = "SELECT @@sql_mode, @@foreign_key_checks, DATABASE(), @@autocommit, @@tx_isolation, NULL";
    assert_eq!(database.lines("SELECT * FROM seen"), database.lines(untouched));
    assert_eq!(log(&database), ["001_leaves|applied|6|6", "002_looks|applied|1|1"]);
}

#[test]
fn the_history_stays_in_its_database_when_a_file_uses_another() {
    let database = MariaDb::fresh();
    let other = MariaDb::fresh();
    let project = project(&[
        ("001_away.sql", &format!("USE {};\nCREATE TABLE away (id integer);\n", other.name())),
        ("002_data.sql", &format!("INSERT INTO {}.away VALUES (1);\nUSE {};\n", other.name(), other.name())),
        ("003_home.sql", "CREATE TABLE home (id integer);\n"),
    ]);
    let _ = up(&project, &database).exits(0);
    assert_eq!(log(&database).len(), 3);
    assert_eq!(database.lines("SHOW TABLES"), ["home", "whimbrel_migrations"]);
    assert_eq!(other.lines("SHOW TABLES"), ["away"]);
}

// How a file is read

/// The rules of quoting are the session's, and the server gives this user's sessions other ones than the usual.
#[test]
fn quotes_are_read_by_the_sql_mode_of_the_session() {
    let database = MariaDb::fresh();
    let user = database.user("ansi");
    database.execute(&format!("GRANT ALL ON {}.* TO {user}@'%'", database.name()));
    // For all databases at once, so it must be the same whichever test sets it, and nothing for other users.
    database.execute(
        "SET GLOBAL init_connect = \"SET sql_mode = \
         IF(USER() LIKE '%_ansi@%', 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', @@sql_mode)\"",
    );
    let text = "CREATE TABLE paths (path varchar(20));\nINSERT INTO paths VALUES ('C:\\');\n\
                INSERT INTO paths VALUES ('; \\');\nCREATE TABLE \"odd;\\\" (id integer);\n";
    let project = project(&[("001_file.up.sql", text), ("001_file.down.sql", "SELECT 'C:\\';\n")]);
    let url = database.url_as(&user, &servers().mariadb.password);
    let _ = project.run(["up", "mysql", "--url", &url]).exits(0);
    assert_eq!(database.lines("SELECT path FROM paths"), ["C:\\", "; \\"]);
    assert_eq!(database.lines("SHOW TABLES LIKE 'odd%'"), ["odd;\\"]);
    assert_eq!(log(&database), ["001_file|applied|4|4"]);
    assert_eq!(database.lines("SELECT down_script FROM whimbrel_migrations"), ["SELECT 'C:\\';\n"]);
}

/// Files are split by the rules that the session began with.
#[test]
fn a_file_does_not_change_how_its_own_backslashes_are_read() {
    for (mode, value) in [("NO_BACKSLASH_ESCAPES", r"'it\'s'"), ("ORACLE", r#"'\"'"#)] {
        let (database, outcome) = up_with(&format!(
            "CREATE TABLE paths (path varchar(20));\nSET sql_mode = '{mode}';\nINSERT INTO paths VALUES ({value});\n"
        ));
        let outcome = outcome.exits(1);
        assert!(outcome.mentions("SET sql_mode"), "{}", outcome.redacted());
        assert_eq!(database.lines("SHOW TABLES"), ["whimbrel_migrations"], "{mode}");
    }
    let (database, outcome) = up_with(
        "SET @old = @@sql_mode, sql_mode = 'NO_BACKSLASH_ESCAPES';\nCREATE TABLE paths (path varchar(20));\n\
         INSERT INTO paths VALUES ('C:\\x');\nSET sql_mode = @old;\nINSERT INTO paths VALUES ('it\\'s');\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT path FROM paths"), ["C:\\x", "it's"]);
}

#[test]
fn a_row_count_counts_the_statement_before_it() {
    let (database, outcome) = up_with(
        "CREATE TABLE birds (id integer);\nINSERT INTO birds VALUES (1), (2), (3);\nSET @changed = ROW_COUNT();\n\
         CREATE TABLE counted AS SELECT @changed AS changed;\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT changed FROM counted"), ["3"]);
    assert_eq!(log(&database), ["001_file|applied|4|4"]);
}

#[test]
fn a_statement_beyond_what_the_server_takes_is_said_to_be_too_long() {
    let database = MariaDb::fresh();
    let largest: usize = database.lines("SELECT @@global.max_allowed_packet")[0].parse().expect("a number");
    let text = format!(
        "CREATE TABLE texts (text longtext);\nINSERT INTO texts VALUES ('{}');\n",
        "x".repeat(largest)
    );
    let outcome = up(&project(&[("001_file.sql", &text)]), &database);
    let numbers = [(r"x{100,}", "[LONG]"), (r"\b\d{7,}\b", "[BYTES]")];
    assert_snapshot!(outcome.redacted_with(&numbers), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: the statement has [BYTES] bytes, and the server takes less than [BYTES]
      --> migrations/mysql/001_file.sql:2:1
      2 | INSERT INTO texts VALUES ('[LONG]
        | ^
      the server's advice: split the statement, or let the server take it: `SET GLOBAL max_allowed_packet = [BYTES]`, then connect again
    state: `001_file` was rolled back
    hint: fix the file and run `whimbrel up mysql` again
    ");
    // Known before anything was sent.
    assert_eq!(database.lines("SHOW TABLES"), ["whimbrel_migrations"]);
}

// The history table

const OWN_TABLE: &str = "CREATE TABLE whimbrel_migrations (\n  position bigint NOT NULL PRIMARY KEY, previous bigint,\n  \
    migration varchar(255) NOT NULL, attempt int NOT NULL, direction varchar(16) NOT NULL, state varchar(16) NOT NULL,\n  \
    checksum varchar(80), statements_done bigint NOT NULL, statements_total bigint NOT NULL, statement_checksums longtext, lease_until datetime(3),\n  \
    started_at datetime(3) NOT NULL, finished_at datetime(3), duration_ms bigint, down_script longtext,\n  \
    applied_by varchar(512) NOT NULL, team varchar(20) DEFAULT 'birds',\n  \
    FOREIGN KEY (previous) REFERENCES whimbrel_migrations (position)\n) ENGINE = InnoDB;\n";

#[test]
fn a_file_of_the_users_own_creates_the_history_table() {
    let database = MariaDb::fresh();
    let project =
        project(&[("000_migrations_table.sql", OWN_TABLE), ("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    assert_eq!(database.lines("SELECT migration, team FROM whimbrel_migrations"), ["001_a|birds"]);
    assert_eq!(up(&project, &database).exits(0).stdout, "mysql is up to date, at 001_a\n");
}

#[test]
fn the_history_table_can_have_another_name() {
    let database = MariaDb::fresh();
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let run = || project.run(["up", "mysql", "--table", "applied-here", "--url", &database.url()]).exits(0);
    let _ = run();
    assert_eq!(database.lines("SELECT migration, state FROM `applied-here`"), ["001_a|applied"]);
    assert_eq!(run().stdout, "mysql is up to date, at 001_a\n");
    assert_eq!(database.lines("SHOW TABLES"), ["a", "applied-here"]);
}

// The way to the server

fn status(url: &str) -> Outcome {
    project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]).run(["status", "mysql", "--url", url])
}

#[test]
fn a_wrong_password_is_refused_and_never_shown() {
    let database = MariaDb::fresh();
    let outcome = status(&database.url_as("owner", "hunter2-wrong"));
    assert!(!outcome.mentions("hunter2"), "{}", outcome.redacted());
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[authentication]: mysql://owner:****@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: Access denied for user 'owner'@'127.0.0.1' (using password: YES)
    hint: the url comes from `--url` (command line)
    ");
}

#[test]
fn a_certificate_that_cannot_be_verified_is_refused() {
    let database = MariaDb::fresh();
    let other = servers().other_authority.display();
    let outcome = status(&format!("{}?ssl-mode=VERIFY_IDENTITY&ssl-ca={other}", database.url()));
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach mysql://owner:****@127.0.0.1:[PORT]/[DATABASE]?ssl-mode=VERIFY_IDENTITY&ssl-ca=[servers]/other-authority.pem
      caused by: invalid peer certificate: UnknownIssuer
    hint: name the authority that signed the server's certificate in the url: `ssl-ca=FILE`; the url comes from `--url` (command line)
    ");
}

#[test]
fn a_server_that_is_down_is_said_to_be_out_of_reach() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = free.local_addr().expect("it has an address").port();
    drop(free);
    let outcome = status(&format!("mysql://owner:hunter2@127.0.0.1:{port}/birds"));
    assert!(!outcome.mentions("hunter2"), "{}", outcome.redacted());
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach mysql://owner:****@127.0.0.1:[PORT]/birds
      caused by: Connection refused (os error 111)
    hint: is the server up? the url comes from `--url` (command line)
    ");
}

// Limits

#[test]
fn a_statement_that_takes_too_long_ends_the_migration() {
    let database = MariaDb::fresh();
    let project = project(&[("001_slow.sql", "SELECT 1;\nSELECT SLEEP(60);\n")]);
    let outcome = project.run(["up", "mysql", "--statement-timeout", "50ms", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: Query execution was interrupted (max_statement_time exceeded)
      --> migrations/mysql/001_slow.sql:2:1
      2 | SELECT SLEEP(60);
        | ^
    state: `001_slow` was rolled back
    hint: allow more with `--statement-timeout`, then `whimbrel up mysql`
    ");
}

#[test]
fn a_lock_that_is_held_too_long_ends_the_migration() {
    use mysql::prelude::Queryable;
    let database = MariaDb::fresh();
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    project.write("migrations/mysql/002_b.sql", "ALTER TABLE a ADD COLUMN name text;\n");
    let mut holder = database.client();
    holder.query_drop("LOCK TABLES a READ").expect("nobody else holds the table");
    let outcome = project.run(["up", "mysql", "--lock-timeout", "1s", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: Lock wait timeout exceeded; try restarting transaction
      --> migrations/mysql/002_b.sql:1:1
      1 | ALTER TABLE a ADD COLUMN name text;
        | ^
    state: no statement of `002_b` is in the database
    hint: somebody holds a lock; run `whimbrel up mysql` again, or allow more with `--lock-timeout`
    ");
    drop(holder);
    let _ = up(&project, &database).exits(0);
}
