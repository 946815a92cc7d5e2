//! Where the database is.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::{FailureLogError, display_safe};

/// How long a schema's name may be: what PostgreSQL takes.
const SCHEMA_BYTES_MAX: usize = 63;

/// What an address such as `postgres://user@host/database` says.
pub(super) fn from_url(url: &str) -> Result<PgConnectOptions, FailureLogError> {
    let bad = |why: String| FailureLogError::BadUrl { url: shown(url), why };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(bad(
            "it does not begin with `postgres://`; write `postgres://USER:PASSWORD@HOST/DATABASE`".into(),
        ));
    }
    // Numbers are shown to nobody in text, and poolers refuse the parameter.
    let options = PgConnectOptions::from_str(url).map_err(|error| bad(error_words(&error)))?;
    Ok(options.extra_float_digits(None).application_name("ordered-consumer"))
}

/// The driver's words, without what it was given.
fn error_words(error: &sqlx::Error) -> String {
    if let sqlx::Error::Configuration(source) = error {
        return display_safe(&source.to_string()).to_string();
    }
    display_safe(&error.to_string()).to_string()
}

/// Whether a schema may be called so.
pub(super) fn check_schema(name: &str) -> Result<(), FailureLogError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > SCHEMA_BYTES_MAX || !name.chars().all(plain) {
        return Err(FailureLogError::Misused {
            what: "a schema's name has 1 to 63 lower-case letters, digits and underscores",
        });
    }
    if name.starts_with("pg_") || name == "public" || name == "information_schema" {
        return Err(FailureLogError::Misused { what: "the failure log needs a schema of its own" });
    }
    Ok(())
}

/// The host and the database, as people know them, without credentials.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    display_safe(&format!("{host}/{database}")).to_string()
}

/// The address without credentials, without parameters, which may have some too, and without what a terminal would act
/// upon.
pub(super) fn shown(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let shown = match (url.find("//"), url.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}//***{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    };
    display_safe(&shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_told_what_is_wrong_with_it_and_shown_without_credentials() {
        for url in ["sqlite:x", "mysql://user:secret@host/x", "postgres://user:secret@host:port/x"] {
            let error = from_url(url).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("not the address"), "{error}");
        }
        let error = from_url("postgres://h/x?sslmode=sideways&password=secret").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("sideways"), "{error}");
    }

    #[test]
    fn a_place_has_no_credentials() {
        let options = from_url("postgresql://user:secret@db.example:6543/shop").unwrap();
        assert_eq!(place(&options), "db.example:6543/shop");
    }

    #[test]
    fn a_schema_is_a_plain_name_of_our_own() {
        for wrong in ["", "public", "pg_x", "Upper", "a-b", "a\"b", "a;b", &"x".repeat(64)] {
            assert!(check_schema(wrong).is_err(), "{wrong}");
        }
        assert!(check_schema("ordered_consumer").is_ok());
    }
}
