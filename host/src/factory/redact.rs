//! Urls as they may be shown.

use std::ops::Range;

/// What stands in the place of a secret.
const HIDDEN: &str = "****";

/// Words in the name of a parameter whose value is a secret.
const SECRET_WORDS: &[&str] = &["pass", "pwd", "secret", "token", "apikey", "api_key", "credential"];

/// Returns a url with `****` in place of its secrets: the password before the host, and parameters such as `password`.
///
/// Works on the text alone, because a url that no parser understands has to be hidden too, and what is shown should
/// read as it was typed. Where the text is ambiguous, more is hidden than needed: an `@` in an unencoded password hides
/// everything up to the last one.
#[must_use]
pub fn redact(url: &str) -> String {
    let mut hidden: Vec<Range<usize>> = password(url).into_iter().chain(parameters(url)).collect();
    hidden.sort_by_key(|range| range.start);
    let mut shown = String::new();
    let mut end = 0;
    for range in hidden {
        if range.start > end || shown.is_empty() {
            shown.push_str(&url[end..range.start]);
            shown.push_str(HIDDEN);
        }
        end = end.max(range.end);
    }
    shown.push_str(&url[end..]);
    shown
}

/// Finds what stands between the user and the last `@`.
fn password(url: &str) -> Option<Range<usize>> {
    let start = match url.find("://") {
        Some(index) => index + "://".len(),
        // `mysql:user:password@host`, but `user:password@host` too.
        None => url.find(':').filter(|index| url[index + 1..].contains(':')).map_or(0, |index| index + 1),
    };
    let login = &url[start..start + url[start..].rfind('@')?];
    let colon = start + login.find(':')?;
    Some(colon + 1..start + login.len())
}

/// Finds the values of secret parameters, in a query (`?a=b&c=d`) and in a list of words (`a=b c='d e'`).
fn parameters(url: &str) -> impl Iterator<Item = Range<usize>> {
    url.match_indices('=').filter_map(|(equals, _)| {
        let name_start = url[..equals].rfind(['?', '&', ';', ' ']).map_or(0, |separator| separator + 1);
        let value = equals + 1;
        is_secret(&url[name_start..equals]).then(|| value..value + value_length(&url[value..]))
    })
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // An encoded name cannot be told by its words.
    name.contains('%') || SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn value_length(text: &str) -> usize {
    // A quote may hold separators, and its end may be escaped: nothing after it is worth the risk.
    if text.starts_with(['\'', '"']) {
        return text.len();
    }
    text.find(['&', ';', ' ']).unwrap_or(text.len())
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
            ("jdbc:postgresql://u:s3cret@db/app", "jdbc:postgresql://u:****@db/app"),
            ("mysql:u:s3cret@db", "mysql:u:****@db"),
            ("sqlite:app.db", "sqlite:app.db"),
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
    }
}
