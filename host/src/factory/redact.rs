//! Urls as they may be shown.

use std::ops::Range;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "****";

/// Words in the name of a parameter whose value is a secret.
const SECRET_WORDS: &[&str] = &["pass", "pw", "secret", "token", "cred"];

/// Returns a url with `****` in place of its secrets: the password before the host, and parameters such as `password`.
///
/// Works on the text alone, because a url that no parser understands has to be hidden too, and what is shown should
/// read as it was typed. Where the text is ambiguous, more is hidden than needed: an `@` in an unencoded password hides
/// everything up to the last one.
#[must_use]
pub fn redact(url: &str) -> String {
    let mut shown = String::new();
    let mut end = 0;
    for range in secrets(url) {
        if range.start > end || shown.is_empty() {
            shown.push_str(&url[end..range.start]);
            shown.push_str(HIDDEN);
        }
        end = end.max(range.end);
    }
    shown.push_str(&url[end..]);
    shown
}

/// Returns the parts of a url that [`redact`] hides.
pub(super) fn secret_parts(url: &str) -> Vec<&str> {
    secrets(url).into_iter().map(|range| &url[range]).collect()
}

fn secrets(url: &str) -> Vec<Range<usize>> {
    let mut secrets: Vec<Range<usize>> = password(url).into_iter().chain(parameters(url)).collect();
    secrets.sort_by_key(|range| range.start);
    secrets
}

/// Finds what stands between the user and the last `@`.
fn password(url: &str) -> Option<Range<usize>> {
    // A password may hold `://` as well, so only what can be a scheme counts as one. Without it all is login: in
    // `mysql:user:password@host` the user is hidden too, because nothing tells it from a password.
    let start = match url.find("://") {
        Some(index) if is_scheme(&url[..index]) => index + "://".len(),
        _ => 0,
    };
    let login = &url[start..start + url[start..].rfind('@')?];
    let colon = start + login.find(':')?;
    Some(colon + 1..start + login.len())
}

fn is_scheme(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || "+-._".contains(character))
}

/// Finds the values of secret parameters, in a query (`?a=b&c=d`) and in a list of words (`a=b c = 'd e'`).
fn parameters(url: &str) -> impl Iterator<Item = Range<usize>> {
    url.match_indices('=').filter_map(|(equals, _)| {
        let before = url[..equals].trim_end();
        let name = before.rsplit(is_separator).next().unwrap_or(before);
        let separator = before[..before.len() - name.len()].chars().next_back();
        let value = url.len() - url[equals + 1..].trim_start().len();
        is_secret(name).then(|| value..value + value_length(&url[value..], separator))
    })
}

fn is_separator(character: char) -> bool {
    matches!(character, '?' | '&' | ';') || character.is_whitespace()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // An encoded name cannot be told by its words.
    name.contains('%')
        || SECRET_WORDS.iter().any(|word| name.contains(word))
        // `sslkey` and `ssl-key` name a file, which is worth seeing when it is not found.
        || (name.contains("key") && !name.starts_with("ssl"))
}

/// Measures a value by the separator before its name, because the other separators may be part of it.
fn value_length(text: &str, separator: Option<char>) -> usize {
    let end = match separator {
        Some('?' | '&') => text.find('&'),
        Some(';') => text.find(';'),
        Some(_) => text.find(char::is_whitespace),
        None => None,
    };
    let length = end.unwrap_or(text.len());
    // A quote may hold separators, and a backslash may escape one: nothing after them is worth the risk.
    if text.starts_with(['\'', '"']) || text[..length].contains('\\') { text.len() } else { length }
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        let cases = [
            ("postgres://app:s3cret@db:5432/app", "postgres://app:****@db:5432/app"),
            ("postgres://app@db/app?sslmode=require", "postgres://app@db/app?sslmode=require"),
            ("postgres://app:a:b@db/app", "postgres://app:****@db/app"),
            ("postgres://app:p@ss/w?rd#x@db/app", "postgres://app:****@db/app"),
            ("postgres://:s3cret@db", "postgres://:****@db"),
            (
                "postgres:///app?host=/run&password=s3cret&user=a",
                "postgres:///app?host=/run&password=****&user=a",
            ),
            ("postgres://db/app?sslpassword=s3cret", "postgres://db/app?sslpassword=****"),
            ("mysql://u:s3cret@[::1]:3306/app", "mysql://u:****@[::1]:3306/app"),
            ("host=db password=s3cret dbname=app", "host=db password=**** dbname=app"),
            ("host=db password='s3 cret' dbname=app", "host=db password=****"),
            ("host=db pass%77ord=s3cret", "host=db pass%77ord=****"),
            ("jdbc:postgresql://u:s3cret@db/app", "jdbc:****@db/app"),
            ("mysql:u:s3cret@db", "mysql:****@db"),
            ("u:s3cret@db:5432/app", "u:****@db:5432/app"),
            ("u:s3cret@tcp(db:1)/app", "u:****@tcp(db:1)/app"),
            ("u:s3cret@[::1]:3306/app", "u:****@[::1]:3306/app"),
            ("u:s3cret@db/app?next=http://a", "u:****@db/app?next=http://a"),
            ("u:s3://cret@db:5432/app", "u:****@db:5432/app"),
            ("postgres//u:s3cret@db:5432/app", "postgres//u:****@db:5432/app"),
            ("postgres:/u:s3cret@db:5432/app", "postgres:****@db:5432/app"),
            ("host=db password = s3cret dbname=app", "host=db password = **** dbname=app"),
            ("host=db password= s3cret dbname=app", "host=db password= **** dbname=app"),
            ("host=db password =s3cret dbname=app", "host=db password =**** dbname=app"),
            ("host=db\tpassword\t=\ts3cret\ndbname=app", "host=db\tpassword\t=\t****\ndbname=app"),
            ("host=db password = 's3 cret' dbname=app", "host=db password = ****"),
            ("host=db password=s3\\ cret dbname=app", "host=db password=****"),
            ("host=db password=s3&cr;et dbname=app", "host=db password=**** dbname=app"),
            ("postgres://db/app?password=s3 cr;et&user=a", "postgres://db/app?password=****&user=a"),
            ("Server=db;Pwd=s3 cret;Database=app", "Server=db;Pwd=****;Database=app"),
            ("app.db?key=s3cret&mode=ro", "app.db?key=****&mode=ro"),
            ("app.db?API-Key=s3cret", "app.db?API-Key=****"),
            ("app.db?sslkey=client.key&ssl-key=b.key", "app.db?sslkey=client.key&ssl-key=b.key"),
            ("host=db keepalives = 1 port = 5432", "host=db keepalives = 1 port = 5432"),
            ("sqlite:app.db", "sqlite:app.db"),
            ("C:\\data\\app.db", "C:\\data\\app.db"),
            ("db:5432/app", "db:5432/app"),
            ("data/a@b.db", "data/a@b.db"),
            ("app.db", "app.db"),
            ("", ""),
        ];
        for (url, shown) in cases {
            assert_eq!(redact(url), shown, "of {url}");
        }
    }

    #[test]
    fn an_ambiguous_url_shows_too_little_rather_than_too_much() {
        assert_eq!(redact("postgres://db:5432/app?user=a@b"), "postgres://db:****@b");
        assert_eq!(redact("postgres://db/app?password=p@ss"), "postgres://db/app?password=****");
        assert_eq!(redact("postgres://db:5432/app?password=p@ss"), "postgres://db:****");
        assert_eq!(redact("postgres://u:p&pwd='x@db"), "postgres://u:****");
        assert_eq!(redact("app:s3cret@db"), "app:****@db");
        assert_eq!(redact("sqlite:a@b.db"), "sqlite:****@b.db");
        assert_eq!(redact("password=s3 cret;host=db"), "password=****");
    }

    #[test]
    fn a_parameter_is_hidden_by_the_words_of_its_name() {
        for name in [
            "password",
            "passwd",
            "pass",
            "PWD",
            "pw",
            "sslpassword",
            "secret",
            "token",
            "key",
            "apikey",
            "creds",
        ] {
            assert_eq!(redact(&format!("app.db?{name}=s3cret")), format!("app.db?{name}=****"));
            assert_eq!(redact(&format!("host=db {name} = s3cret")), format!("host=db {name} = ****"));
        }
    }
}
