//! Files as people write them for MySQL and MariaDB, through the real binary.

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, MySqlDatabase, Outcome, Product, Project, servers, until};

/// Returns a project with these files in the folder `mysql`.
fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new();
    for (name, text) in files {
        project.write(&format!("migrations/mysql/{name}"), text);
    }
    project
}

fn up(project: &Project, database: &MySqlDatabase) -> Outcome {
    project.run(["up", "mysql", "--url", &database.url()])
}

/// Runs one file on a fresh database.
fn up_with(server: Product, text: &str) -> (MySqlDatabase, Outcome) {
    let database = server.fresh();
    let outcome = up(&project(&[("001_file.sql", text)]), &database);
    (database, outcome)
}

fn log(database: &MySqlDatabase) -> Vec<String> {
    database.lines("SELECT migration, state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position")
}

// Programs inside files

#[rstest]
fn programs_run_with_a_delimiter_of_their_own(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(
        server,
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

#[rstest]
fn programs_run_without_a_delimiter_too(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(
        server,
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

/// Only MySQL has them, from 9.0 on.
#[test]
fn programs_of_another_language_keep_their_semicolons() {
    let (database, outcome) = up_with(
        MySql,
        "CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$\n  const two = 2;\n  return two * n;\n$$;\n\
         CREATE FUNCTION thrice(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $js$ let s = '$$;'; return 3 * n; $js$;\n\
         CREATE TABLE a$b (c$$d integer);\n",
    );
    let _ = outcome.exits(0);
    let functions = "SELECT routine_name, routine_definition LIKE '%* n; %' OR routine_definition LIKE '%* n;\n' \
                     FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1";
    assert_eq!(database.lines(functions), ["thrice|1", "twice|1"]);
    assert_eq!(log(&database), ["001_file|applied|3|3"]);
}

#[rstest]
fn what_is_meant_for_another_server_or_version_is_passed_over(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(
        server,
        "CREATE TABLE seen (who varchar(20));\n\
         /*!50700 INSERT INTO seen VALUES ('50700') */;\n\
         /*!80000 INSERT INTO seen VALUES ('80000') */;\n\
         /*!090000 INSERT INTO seen VALUES ('090000') */;\n\
         /*M!100100 INSERT INTO seen VALUES ('M100100') */;\n\
         /*!999999 INSERT INTO seen VALUES ('never'); INSERT INTO seen VALUES ('never') */;\n\
         INSERT INTO seen VALUES ('all' /*M! ' M' */ /*!40000 ' 40000' */);\n",
    );
    let _ = outcome.exits(0);
    let expected: &[&str] =
        server.either(&["M100100", "all M 40000"], &["50700", "80000", "090000", "all 40000"]);
    assert_eq!(database.lines("SELECT who FROM seen"), expected);
    let count = server.either(3, 5);
    assert_eq!(log(&database), [format!("001_file|applied|{count}|{count}")]);
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

#[rstest]
fn a_dump_with_locked_tables_is_loaded(#[values(MariaDb, MySql)] server: Product) {
    // The last line of a real dump puts back what its first lines have saved; this one has not saved it.
    let (database, outcome) =
        up_with(server, &DUMP.replace("/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n", ""));
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
#[rstest]
fn a_failure_under_locked_tables_counts_what_was_done_before(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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

#[rstest]
fn a_file_of_phpmyadmin_is_loaded(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(server, EXPORT);
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT * FROM birds"), ["0|it's; one", "1|two", "2|three"]);
    assert_eq!(log(&database), ["001_file|applied|9|9"]);
}

/// Every statement is kept at once although the file asks for a transaction, so all of them count.
#[rstest]
fn a_failure_in_a_file_of_phpmyadmin_counts_what_is_there(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(server, &EXPORT.replace("VALUES (2,", "VALUES (1,"));
    let _ = outcome.exits(5);
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["2"]);
    assert_eq!(log(&database), ["001_file|failed|7|9"]);
}

// Transactions of a file's own

/// Rows that were rolled back were said to be in the database.
#[rstest]
fn autocommit_is_not_turned_off_in_the_middle_of_a_file(#[values(MariaDb, MySql)] server: Product) {
    for off in [
        "SET autocommit=0",
        "SET SESSION autocommit = off",
        "SET @@autocommit=0",
        "/*!40101 SET autocommit=0 */",
    ] {
        let (database, outcome) = up_with(
            server,
            &format!(
                "CREATE TABLE a (i int PRIMARY KEY);\n{off};\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);\n"
            ),
        );
        let outcome = outcome.exits(4);
        assert!(outcome.mentions("transaction-control"), "{off}: {}", outcome.redacted());
        assert_eq!(database.lines("SHOW TABLES LIKE 'a'"), Vec::<String>::new(), "{off}");
    }
}

/// A file that runs its own transactions may, and the counts follow it.
#[rstest]
fn what_is_rolled_back_without_autocommit_does_not_count_as_done(#[values(MariaDb, MySql)] server: Product) {
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
        (
            "START TRANSACTION;\nINSERT INTO a VALUES (1);\nANALYZE TABLE a;\nINSERT INTO a VALUES (2);\n",
            6,
            "2",
        ),
        ("START TRANSACTION;\nINSERT INTO a VALUES (1);\nDO 1;\nINSERT INTO a VALUES (2);\n", 2, "0"),
    ] {
        let (database, outcome) = up_with(
            server,
            &format!(
                "-- no-transaction\nCREATE TABLE a (i int PRIMARY KEY);\n\
             SET @on = 1, @off = 0;\n{middle}INSERT INTO nowhere VALUES (1);\nCOMMIT;\n"
            ),
        );
        let outcome = outcome.exits(5);
        assert_eq!(database.lines("SELECT count(*) FROM a"), [rows], "{middle}");
        let log = log(&database);
        assert!(log[0].starts_with(&format!("001_file|failed|{done}|")), "{middle}: {log:?}");
        assert!(outcome.mentions(&format!("statements 1-{done} ")), "{middle}: {}", outcome.redacted());
    }
}

#[rstest]
fn transactions_of_several_servers_are_refused_before_anything_is_sent(
    #[values(MariaDb, MySql)] server: Product,
) {
    let (database, outcome) = up_with(
        server,
        "-- no-transaction\nCREATE TABLE a (i int PRIMARY KEY);\nXA START 'x';\nINSERT INTO a VALUES (1);\nXA END 'x';\n\
         XA PREPARE 'x';\nXA COMMIT 'x';\n",
    );
    let outcome = outcome.exits(1);
    assert!(outcome.mentions("START TRANSACTION … COMMIT"), "{}", outcome.redacted());
    assert_eq!(database.lines("SHOW TABLES"), ["whimbrel_migrations"]);
    assert_eq!(log(&database), Vec::<String>::new());
}

/// Exit 1 said "as it was before", and two rows stayed.
#[rstest]
fn a_commit_that_a_procedure_hides_is_not_called_rolled_back(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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

#[rstest]
fn what_a_file_sets_does_not_reach_the_next_one(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let isolation = server.either("@@tx_isolation", "@@transaction_isolation");
    let looks = format!(
        "CREATE TABLE seen (mode text, checks int, place text, autocommit int, isolation text, locked int);\n\
         INSERT INTO seen SELECT @@sql_mode, @@foreign_key_checks, DATABASE(), @@autocommit, {isolation}, \
         IS_USED_LOCK('left');\n"
    );
    let project = project(&[
        (
            "001_leaves.sql",
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';\nSET foreign_key_checks = 0;\nDO GET_LOCK('left', 0);\n\
             SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;\nCREATE TABLE made (id integer);\n\
             USE mysql;\n",
        ),
        ("002_looks.sql", &looks),
    ]);
    let _ = up(&project, &database).exits(0);
    let untouched =
        format!("SELECT @@sql_mode, @@foreign_key_checks, DATABASE(), @@autocommit, {isolation}, NULL");
    assert_eq!(database.lines("SELECT * FROM seen"), database.lines(&untouched));
    assert_eq!(log(&database), ["001_leaves|applied|6|6", "002_looks|applied|2|2"]);
}

#[rstest]
fn the_history_stays_in_its_database_when_a_file_uses_another(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let other = server.fresh();
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
#[rstest]
fn quotes_are_read_by_the_sql_mode_of_the_session(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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
    let url = database.url_as(&user, &server.server().password);
    let _ = project.run(["up", "mysql", "--url", &url]).exits(0);
    assert_eq!(database.lines("SELECT path FROM paths"), ["C:\\", "; \\"]);
    assert_eq!(database.lines("SHOW TABLES LIKE 'odd%'"), ["odd;\\"]);
    assert_eq!(log(&database), ["001_file|applied|4|4"]);
    assert_eq!(database.lines("SELECT down_script FROM whimbrel_migrations"), ["SELECT 'C:\\';\n"]);
}

/// Files are split by the rules that the session began with.
#[rstest]
fn a_file_does_not_change_how_its_own_backslashes_are_read(#[values(MariaDb, MySql)] server: Product) {
    for (mode, value) in [("NO_BACKSLASH_ESCAPES", r"'it\'s'"), ("ORACLE", r#"'\"'"#)] {
        let (database, outcome) = up_with(
            server,
            &format!(
                "CREATE TABLE paths (path varchar(20));\nSET sql_mode = '{mode}';\nINSERT INTO paths VALUES ({value});\n"
            ),
        );
        let outcome = outcome.exits(1);
        assert!(outcome.mentions("SET sql_mode"), "{}", outcome.redacted());
        assert_eq!(database.lines("SHOW TABLES"), ["whimbrel_migrations"], "{mode}");
    }
    let (database, outcome) = up_with(
        server,
        "SET @old = @@sql_mode, sql_mode = 'NO_BACKSLASH_ESCAPES';\nCREATE TABLE paths (path varchar(20));\n\
         INSERT INTO paths VALUES ('C:\\x');\nSET sql_mode = @old;\nINSERT INTO paths VALUES ('it\\'s');\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT path FROM paths"), ["C:\\x", "it's"]);
}

#[rstest]
fn a_row_count_counts_the_statement_before_it(#[values(MariaDb, MySql)] server: Product) {
    let (database, outcome) = up_with(
        server,
        "CREATE TABLE birds (id integer);\nINSERT INTO birds VALUES (1), (2), (3);\nSET @changed = ROW_COUNT();\n\
         CREATE TABLE counted AS SELECT @changed AS changed;\n",
    );
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT changed FROM counted"), ["3"]);
    assert_eq!(log(&database), ["001_file|applied|4|4"]);
}

#[rstest]
fn a_statement_beyond_what_the_server_takes_is_said_to_be_too_long(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
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

#[rstest]
fn a_file_of_the_users_own_creates_the_history_table(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project =
        project(&[("000_migrations_table.sql", OWN_TABLE), ("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    assert_eq!(database.lines("SELECT migration, team FROM whimbrel_migrations"), ["001_a|birds"]);
    assert_eq!(up(&project, &database).exits(0).stdout, "mysql is up to date, at 001_a\n");
}

#[rstest]
fn the_history_table_can_have_another_name(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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

/// Whom the server has not seen since it started must send the password itself, and without TLS under the server's key.
#[rstest]
fn a_user_who_is_new_to_the_server_logs_in_with_and_without_tls(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let socket = server.server().socket.as_deref().expect("xtask gives both a socket").display().to_string();
    let authority = servers().authority.display();
    for (number, way) in [
        "ssl-mode=DISABLED".to_owned(),
        "ssl-mode=REQUIRED".to_owned(),
        format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={authority}"),
        format!("socket={socket}"),
    ]
    .iter()
    .enumerate()
    {
        let user = database.user(&format!("new{number}"));
        database.execute(&format!("GRANT ALL ON {}.* TO {user}@'%'", database.name()));
        let url = |password: &str| format!("{}?{way}", database.url_as(&user, password));
        let refused = status(&url("hunter2-wrong")).exits(8);
        assert!(refused.mentions("error[authentication]"), "{way}: {}", refused.redacted());
        let _ = status(&url(&server.server().password)).exits(0);
        // And once more, when the server remembers.
        let _ = status(&url(&server.server().password)).exits(0);
    }
}

#[rstest]
fn a_wrong_password_is_refused_and_never_shown(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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

#[rstest]
fn a_certificate_that_cannot_be_verified_is_refused(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
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

/// On MySQL the limit is one of queries alone. SLEEP ends early under it and is no error, and a bare COUNT(*) is
/// interrupted as if by somebody else (1317).
#[rstest]
fn a_statement_that_takes_too_long_ends_the_migration(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let slow = "SELECT SUM(a.number) FROM numbers a, numbers b, numbers c, numbers d, numbers e";
    let numbers: Vec<String> = (1..=200).map(|number| format!("({number})")).collect();
    let project = project(&[
        ("001_numbers.sql", "CREATE TABLE numbers (number int);\n"),
        ("002_rows.sql", &format!("INSERT INTO numbers VALUES {};\n", numbers.join(", "))),
    ]);
    let _ = up(&project, &database).exits(0);
    project.write("migrations/mysql/003_slow.sql", format!("SELECT 1;\n{slow};\n"));
    let outcome = project.run(["up", "mysql", "--statement-timeout", "50ms", "--url", &database.url()]);
    let words = [
        (r"Query execution was interrupted \(max_statement_time exceeded\)", "[TOO LONG]"),
        (r"Query execution was interrupted, maximum statement execution time exceeded", "[TOO LONG]"),
    ];
    assert_snapshot!(outcome.redacted_with(&words), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: [TOO LONG]
      --> migrations/mysql/003_slow.sql:2:1
      2 | SELECT SUM(a.number) FROM numbers a, numbers b, numbers c, numbers d, numbers e;
        | ^
    state: `003_slow` was rolled back
    hint: allow more with `--statement-timeout`, then `whimbrel up mysql`
    ");
}

#[rstest]
fn a_lock_that_is_held_too_long_ends_the_migration(#[values(MariaDb, MySql)] server: Product) {
    use mysql::prelude::Queryable;
    let database = server.fresh();
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

// A run that is killed

/// A run that was killed while the second of its three statements waits for `gate`, which somebody else holds.
struct Killed {
    database: MySqlDatabase,
    project: Project,
    holder: mysql::Conn,
}

/// What the run waits for, as the server shows it.
const AT_THE_GATE: &str = "information_schema.processlist WHERE db = DATABASE() AND info LIKE 'UPDATE gate%'";

impl Killed {
    fn at_a_gate_held_by(server: Product, hold: &str) -> Self {
        use mysql::prelude::Queryable;
        let database = server.fresh();
        database.execute("CREATE TABLE gate (id integer PRIMARY KEY); INSERT INTO gate VALUES (1)");
        let mut holder = database.client();
        holder.query_drop(hold).expect("nobody else holds it");
        let project = project(&[(
            "001_file.sql",
            "CREATE TABLE first (id integer);\nUPDATE gate SET id = 2;\nCREATE TABLE second (id integer);\n",
        )]);
        let run = project.spawn(["up", "mysql", "--url", &database.url()]);
        let count = format!("SELECT COUNT(*) FROM {AT_THE_GATE}");
        until("the run stands at the gate", || database.lines(&count) == ["1"]);
        run.kill();
        assert_eq!(run.wait().signal, Some(9));
        // As if it had been killed long ago.
        database.execute("UPDATE whimbrel_migrations SET lease_until = '2001-01-01 00:00:00'");
        Killed { database, project, holder }
    }

    fn let_go(&mut self, release: &str) {
        use mysql::prelude::Queryable;
        self.holder.query_drop(release).expect("it was held");
    }

    fn tables(&self) -> Vec<String> {
        self.database.lines("SHOW TABLES")
    }
}

/// The rest of the packet is run without a client, DDL included. Until then the orphan counts as at work, although its
/// lease is over.
#[rstest]
fn what_a_killed_run_has_sent_is_waited_for_and_counts(#[values(MariaDb, MySql)] server: Product) {
    let mut killed = Killed::at_a_gate_held_by(server, "START TRANSACTION; UPDATE gate SET id = 7");
    let again = ["up", "mysql", "--wait-for-runner", "0s", "--url", &killed.database.url()];
    let outcome = killed.project.run(again).exits(6);
    assert!(outcome.mentions("error[lock-held]"), "{}", outcome.redacted());
    assert_eq!(log(&killed.database), ["001_file|started|1|3"]);
    assert_eq!(killed.tables(), ["first", "gate", "whimbrel_migrations"]);
    killed.let_go("COMMIT");
    let outcome = up(&killed.project, &killed.database).exits(0);
    assert_eq!(outcome.stdout, "mysql is up to date, at 001_file\n");
    assert_eq!(log(&killed.database), ["001_file|applied|3|3"]);
    assert_eq!(killed.tables(), ["first", "gate", "second", "whimbrel_migrations"]);
}

/// MariaDB looks once a second whether the client of a session that waits for a table is still there. MySQL does not.
#[rstest]
fn a_killed_run_that_waits_for_a_table_is_ended_by_mariadb_alone(#[values(MariaDb, MySql)] server: Product) {
    let mut killed = Killed::at_a_gate_held_by(server, "LOCK TABLES gate READ");
    let waits = format!("SELECT time < 4 FROM {AT_THE_GATE}");
    until("it is ended, or has waited for seconds", || killed.database.lines(&waits) != ["1"]);
    let is_waiting: &[&str] = server.either(&[], &["0"]);
    assert_eq!(killed.database.lines(&waits), is_waiting);
    assert_eq!(log(&killed.database), ["001_file|started|1|3"]);
    killed.let_go("UNLOCK TABLES");
    if server == MySql {
        assert_eq!(
            up(&killed.project, &killed.database).exits(0).stdout,
            "mysql is up to date, at 001_file\n"
        );
        assert_eq!(killed.tables(), ["first", "gate", "second", "whimbrel_migrations"]);
    } else {
        assert_eq!(killed.tables(), ["first", "gate", "whimbrel_migrations"]);
    }
}
