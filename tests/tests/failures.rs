//! What a failing migration leaves behind, and what it says: the whole output, and the tables afterwards.

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Outcome, Postgres, Product, Project};

/// Five files of which the third is given.
fn five(folder: &str, third: &str) -> Project {
    let path = |name: &str| format!("migrations/{folder}/{name}.sql");
    Project::new()
        .file(
            &path("001_authors"),
            "CREATE TABLE authors (id integer PRIMARY KEY, name varchar(40) NOT NULL UNIQUE);\n",
        )
        .file(&path("002_first_authors"), "INSERT INTO authors VALUES (1, 'Ines'), (2, 'Tomo');\n")
        .file(&path("003_books"), third)
        .file(&path("004_more_authors"), "INSERT INTO authors VALUES (9, 'Aino');\n")
        .file(&path("005_publishers"), "CREATE TABLE publishers (id integer PRIMARY KEY);\n")
}

fn up(project: &Project, database: &dyn Database) -> Outcome {
    project.run(["up", database.engine().adapter(), "--url", &database.url()])
}

fn log(database: &dyn Database) -> Vec<String> {
    database.lines("SELECT migration, state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position")
}

const TWO_APPLIED: [&str; 2] = ["001_authors|applied|1|1", "002_first_authors|applied|1|1"];

fn tables(database: &dyn Database) -> Vec<String> {
    let schema = match database.engine() {
        whimbrel_tests::Engine::Postgres => "'public'",
        _ => "DATABASE()",
    };
    database.lines(&format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} ORDER BY table_name"
    ))
}

#[test]
fn a_failing_statement_in_the_middle_is_rolled_back_on_postgres() {
    let database = Postgres::fresh();
    let project = five(
        "postgres",
        "CREATE TABLE books (id integer PRIMARY KEY, author integer NOT NULL REFERENCES authors);\n\
         INSERT INTO books VALUES (1, 1);\n\
         SELECT 'Zürich, two bytes for one letter'; INSERT INTO autors VALUES (3, 'Ayse');\n\
         CREATE INDEX ON books (author);\n",
    );
    let outcome = up(&project, &database);
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 1
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[statement]: relation "autors" does not exist
      --> migrations/postgres/003_books.sql:3:56
      3 | SELECT 'Zürich, two bytes for one letter'; INSERT INTO autors VALUES (3, 'Ayse');
        |                                                        ^
    state: `003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    assert_eq!(log(&database), TWO_APPLIED);
    assert_eq!(tables(&database), ["authors", "whimbrel_migrations"]);
}

#[test]
fn the_same_failure_as_json() {
    let database = Postgres::fresh();
    let project =
        five("postgres", "CREATE TABLE books (id integer);\nINSERT INTO authors VALUES (1, 'Ines');\n");
    let arguments = ["up", "postgres", "--format", "json", "--url", &database.url()];
    let outcome = project.run(arguments);
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 1
    --- stdout
    {
      "database": "postgres",
      "adapter": "postgres",
      "applied": [
        {
          "id": "001_authors",
          "duration_ms": [N]
        },
        {
          "id": "002_first_authors",
          "duration_ms": [N]
        }
      ],
      "reverted": [],
      "failed": {
        "id": "003_books",
        "error": {
          "name": "statement",
          "message": "duplicate key value violates unique constraint \"authors_pkey\"",
          "file": "migrations/postgres/003_books.sql",
          "line": 2,
          "column": 1,
          "sqlstate": "23505",
          "state": "`003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay",
          "hint": "fix the file and run `whimbrel up postgres` again",
          "cause": null,
          "facts": [
            "Key (id)=(1) already exists."
          ]
        }
      },
      "errors": [
        {
          "name": "statement",
          "message": "duplicate key value violates unique constraint \"authors_pkey\"",
          "file": "migrations/postgres/003_books.sql",
          "line": 2,
          "column": 1,
          "sqlstate": "23505",
          "state": "`003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay",
          "hint": "fix the file and run `whimbrel up postgres` again",
          "cause": null,
          "facts": [
            "Key (id)=(1) already exists."
          ]
        }
      ],
      "state": "`003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay"
    }
    --- stderr
    error[statement]: duplicate key value violates unique constraint "authors_pkey"
      --> migrations/postgres/003_books.sql:2:1
      2 | INSERT INTO authors VALUES (1, 'Ines');
        | ^
      Key (id)=(1) already exists.
    state: `003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    assert_eq!(log(&database), TWO_APPLIED);
}

#[test]
fn a_syntax_error_is_pointed_at() {
    let database = Postgres::fresh();
    let project = five(
        "postgres",
        "CREATE TABLE books (id integer);\n\n    CREATE TABEL covers (id integer);\nSELECT 1;\n",
    );
    assert_snapshot!(up(&project, &database).redacted(), @r#"
    exit: 1
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[statement]: syntax error at or near "TABEL"
      --> migrations/postgres/003_books.sql:3:12
      3 |     CREATE TABEL covers (id integer);
        |            ^
    state: `003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    assert_eq!(log(&database), TWO_APPLIED);
    assert_eq!(tables(&database), ["authors", "whimbrel_migrations"]);
}

#[test]
fn a_deferred_constraint_fails_at_the_commit() {
    let database = Postgres::fresh();
    let project = five(
        "postgres",
        "CREATE TABLE books (author integer REFERENCES authors DEFERRABLE INITIALLY DEFERRED);\n\
         INSERT INTO books VALUES (77);\n",
    );
    assert_snapshot!(up(&project, &database).redacted(), @r#"
    exit: 1
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[statement]: insert or update on table "books" violates foreign key constraint "books_author_fkey"
      --> migrations/postgres/003_books.sql
      at its commit
      Key (author)=(77) is not present in table "authors".
    state: `003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    assert_eq!(log(&database), TWO_APPLIED);
    assert_eq!(tables(&database), ["authors", "whimbrel_migrations"]);
}

#[test]
fn a_failing_down_stays_applied_on_postgres() {
    let database = Postgres::fresh();
    let project = five("postgres", "CREATE TABLE books (author integer REFERENCES authors);\n");
    project.write("migrations/postgres/001_authors.down.sql", "DROP TABLE authors;\n");
    let _ = project.run(["up", "postgres", "--to", "001", "--url", &database.url()]).exits(0);
    database.execute("CREATE TABLE letters (author integer REFERENCES authors)");
    let outcome = project.run(["down", "postgres", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: cannot drop table authors because other objects depend on it
      --> migrations/postgres/001_authors.down.sql:1:1
      1 | DROP TABLE authors;
        | ^
      constraint letters_author_fkey on table letters depends on table authors
      the server's advice: Use DROP ... CASCADE to drop the dependent objects too.
    state: `001_authors` is still applied; what its down script did was rolled back
    hint: fix the file and run `whimbrel down postgres` again
    ");
    assert_eq!(log(&database), TWO_APPLIED[..1]);
}

/// MySQL says of which table a key is, and MariaDB does not.
const KEY: (&str, &str) = (r"for key '\w+\.(\w+)'", "for key '$1'");

#[rstest]
fn a_file_with_ddl_stops_where_it_fails_on_mysql_and_is_settled_by_repair(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let project = five(
        "mysql",
        "CREATE TABLE books (id integer PRIMARY KEY);\n\
         INSERT INTO books VALUES (1);\n\
         INSERT INTO authors\n    VALUES (3, 'Ines');\n\
         CREATE TABLE covers (id integer PRIMARY KEY);\n",
    );
    assert_snapshot!(up(&project, &database).redacted_with(&[KEY]), @r"
    exit: 5
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[partly-applied]: `003_books` stopped after 2 of 4 statements, and they cannot be undone
      --> migrations/mysql/003_books.sql:3:1
      3 | INSERT INTO authors
        | ^
      caused by: Duplicate entry 'Ines' for key 'name'
    state: statements 1-2 of `003_books` are in the database; nothing else runs until it is settled; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix statement 3 and run `whimbrel up mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 003_books --applied` or `--reverted`
    ");
    // What the message says is what is there.
    assert_eq!(tables(&database), ["authors", "books", "whimbrel_migrations"]);
    assert_eq!(database.lines("SELECT id FROM books"), ["1"]);
    assert_eq!(log(&database), [TWO_APPLIED[0], TWO_APPLIED[1], "003_books|failed|2|4"]);

    assert_snapshot!(up(&project, &database).redacted_with(&[KEY]), @r"
    exit: 5
    --- stdout
    --- stderr
    note: 003_books, goes on at statement 3 of 4: those before it are in the database
    error[partly-applied]: `003_books` stopped after 2 of 4 statements, and they cannot be undone
      --> migrations/mysql/003_books.sql:3:1
      3 | INSERT INTO authors
        | ^
      caused by: Duplicate entry 'Ines' for key 'name'
    state: statements 1-2 of `003_books` are in the database; nothing else runs until it is settled
    hint: fix statement 3 and run `whimbrel up mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 003_books --applied` or `--reverted`
    ");
    assert_eq!(tables(&database), ["authors", "books", "whimbrel_migrations"]);

    database.execute("INSERT INTO authors VALUES (3, 'Ayse'); CREATE TABLE covers (id integer PRIMARY KEY)");
    let repair = project.run(["repair", "mysql", "003_books", "--applied", "--url", &database.url()]);
    assert_snapshot!(repair.redacted(), @r"
    exit: 0
    --- stdout
    recorded 003_books as applied; no SQL of it was run
    --- stderr
    runs  START TRANSACTION READ WRITE
    runs  INSERT INTO `[DATABASE]`.`whimbrel_migrations` (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by) VALUES (5, 4, '003_books', 3, 'up', 'applied', 'v1:dd8ee0206661f06008395248f404eb3332e9092cc7fc0d495b374b4b3c30dc5e', 0, 0, 'v2:22dde0f1258b4cbc:70b84ba4mb03ebfacjdc32d5a6j02c1c6d0m', NULL, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, mysql 0.1.0')
    runs  COMMIT
    ");
    let _ = up(&project, &database).exits(0);
    assert_eq!(tables(&database), ["authors", "books", "covers", "publishers", "whimbrel_migrations"]);
}

#[rstest]
fn a_half_done_file_that_was_undone_by_hand_runs_again_on_mysql(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = five("mysql", "CREATE TABLE books (id integer);\nINSERT INTO nowhere VALUES (1);\n");
    let _ = up(&project, &database).exits(5);
    database.execute("DROP TABLE books");
    let _ = project.run(["repair", "mysql", "003_books", "--reverted", "--url", &database.url()]).exits(0);
    project.write("migrations/mysql/003_books.sql", "CREATE TABLE books (id integer);\n");
    let _ = up(&project, &database).exits(0);
    assert_eq!(tables(&database), ["authors", "books", "publishers", "whimbrel_migrations"]);
}

#[rstest]
fn a_file_with_ddl_whose_first_statement_fails_leaves_nothing_on_mysql(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let project = five("mysql", "CREATE TABLE authors (id integer);\nCREATE TABLE books (id integer);\n");
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 1
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[statement]: Table 'authors' already exists
      --> migrations/mysql/003_books.sql:1:1
      1 | CREATE TABLE authors (id integer);
        | ^
    state: no statement of `003_books` is in the database; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up mysql` again
    ");
    assert_eq!(tables(&database), ["authors", "whimbrel_migrations"]);
    // Nothing of it is in the database, so the file can simply be put right.
    project.write("migrations/mysql/003_books.sql", "CREATE TABLE books (id integer);\n");
    let _ = up(&project, &database).exits(0);
}

#[rstest]
fn a_file_of_innodb_data_is_rolled_back_on_mysql(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = five(
        "mysql",
        "INSERT INTO authors VALUES (3, 'Ayse');\nUPDATE authors SET name = 'Ines' WHERE id = 2;\n\
         DELETE FROM authors;\n",
    );
    assert_snapshot!(up(&project, &database).redacted_with(&[KEY]), @r"
    exit: 1
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[statement]: Duplicate entry 'Ines' for key 'name'
      --> migrations/mysql/003_books.sql:2:1
      2 | UPDATE authors SET name = 'Ines' WHERE id = 2;
        | ^
    state: `003_books` was rolled back; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix the file and run `whimbrel up mysql` again
    ");
    assert_eq!(log(&database), TWO_APPLIED);
    assert_eq!(database.lines("SELECT id, name FROM authors ORDER BY id"), ["1|Ines", "2|Tomo"]);
}

#[rstest]
fn a_table_that_cannot_roll_back_makes_a_file_of_data_stepwise_on_mysql(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    database.execute("CREATE TABLE visits (id integer PRIMARY KEY) ENGINE = MyISAM");
    let project = five(
        "mysql",
        "INSERT INTO authors VALUES (3, 'Ayse');\nINSERT INTO visits VALUES (1);\nINSERT INTO visits VALUES (1);\n",
    );
    assert_snapshot!(up(&project, &database).redacted_with(&[KEY]), @r"
    exit: 5
    --- stdout
    applied  001_authors  [N] ms
    applied  002_first_authors  [N] ms
    --- stderr
    error[partly-applied]: `003_books` stopped after 2 of 3 statements, and they cannot be undone
      --> migrations/mysql/003_books.sql:3:1
      3 | INSERT INTO visits VALUES (1);
        | ^
      caused by: Duplicate entry '1' for key 'PRIMARY'
    state: statements 1-2 of `003_books` are in the database; nothing else runs until it is settled; `001_authors` and `002_first_authors` were applied in this run and stay
    hint: fix statement 3 and run `whimbrel up mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 003_books --applied` or `--reverted`
    ");
    assert_eq!(database.lines("SELECT count(*) FROM authors"), ["3"]);
    assert_eq!(database.lines("SELECT count(*) FROM visits"), ["1"]);
    assert_eq!(log(&database).pop().as_deref(), Some("003_books|failed|2|3"));
}

#[rstest]
fn a_down_script_with_ddl_stops_where_it_fails_on_mysql(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = five("mysql", "CREATE TABLE books (id integer);\nCREATE TABLE covers (id integer);\n");
    project.write(
        "migrations/mysql/003_books.down.sql",
        "DROP TABLE covers;\nDROP TABLE cowers;\nDROP TABLE books;\n",
    );
    let to = |command: &str, id: &str| project.run([command, "mysql", "--to", id, "--url", &database.url()]);
    let _ = to("up", "003").exits(0);
    assert_snapshot!(to("down", "002").redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: taking back `003_books` stopped after 1 of 3 statements, and they cannot be undone
      --> migrations/mysql/003_books.down.sql:2:1
      2 | DROP TABLE cowers;
        | ^
      caused by: Unknown table '[DATABASE].cowers'
    state: statement 1 of the down script of `003_books` is done; nothing else runs until it is settled
    hint: fix statement 2 and run `whimbrel down mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 003_books --applied` or `--reverted`
    ");
    assert_eq!(tables(&database), ["authors", "books", "whimbrel_migrations"]);
    assert_snapshot!(to("down", "002").redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    note: 003_books, goes on at statement 2 of 3: those before it are in the database
    error[partly-applied]: taking back `003_books` stopped after 1 of 3 statements, and they cannot be undone
      --> migrations/mysql/003_books.down.sql:2:1
      2 | DROP TABLE cowers;
        | ^
      caused by: Unknown table '[DATABASE].cowers'
    state: statement 1 of the down script of `003_books` is done; nothing else runs until it is settled
    hint: fix statement 2 and run `whimbrel down mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 003_books --applied` or `--reverted`
    ");
}
