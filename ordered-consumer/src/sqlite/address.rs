//! Where the file is.

use std::path::{Path, PathBuf};

use crate::{FailureLogError, display_safe};

const IN_MEMORY: &str =
    "a database in memory vanishes with its connection; give a file, or use `MemoryFailureLog`";

/// The file that an address such as `sqlite:failures.db` names.
pub(super) fn from_url(url: &str) -> Result<PathBuf, FailureLogError> {
    let bad = |why: &str| FailureLogError::BadUrl { url: shown(url), why: why.to_owned() };
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return Err(bad("it does not begin with `sqlite:`; write `sqlite:PATH`"));
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains("mode=memory") {
        return Err(bad(IN_MEMORY));
    }
    if path.contains(['?', '#']) {
        return Err(bad("parameters are not supported; write `sqlite:PATH`"));
    }
    check(Path::new(path)).map_err(|why| bad(&why))?;
    Ok(path.into())
}

/// The path as it is, if a database can be there.
pub(super) fn from_path(path: &Path) -> Result<PathBuf, FailureLogError> {
    let bad =
        |why| FailureLogError::BadUrl { url: display_safe(&path.display().to_string()).to_string(), why };
    check(path).map_err(bad)?;
    Ok(path.to_owned())
}

fn check(path: &Path) -> Result<(), String> {
    let Some(text) = path.to_str() else { return Err("the path is not UTF-8, which SQLite needs".into()) };
    if text.is_empty() {
        return Err("the path is missing; write `sqlite:PATH`".into());
    }
    if text.starts_with(":memory:") || text.starts_with("file:") {
        return Err(IN_MEMORY.into());
    }
    if text.contains('\0') {
        return Err("the path has a NUL".into());
    }
    if path.is_dir() {
        return Err("it is a directory".into());
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            Err(format!("the directory `{}` does not exist; create it first", parent.display()))
        }
        _ => Ok(()),
    }
}

/// The address without what stands between `//` and `@`, and without what a terminal would act upon.
fn shown(url: &str) -> String {
    let shown = match (url.find("//"), url.rfind('@')) {
        (Some(start), Some(end)) if start < end => format!("{}//***{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    };
    display_safe(&shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(url: &str) -> String {
        match from_url(url) {
            Err(FailureLogError::BadUrl { why, .. }) => why,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn both_spellings_of_an_address_name_the_same_file() {
        assert_eq!(from_url("sqlite:failures.db").unwrap(), Path::new("failures.db"));
        assert_eq!(from_url("sqlite://failures.db").unwrap(), Path::new("failures.db"));
        assert_eq!(from_url("sqlite:///tmp/failures.db").unwrap(), Path::new("/tmp/failures.db"));
    }

    #[test]
    fn a_wrong_address_is_told_what_is_wrong_with_it() {
        assert!(why("postgres://localhost/x").contains("sqlite:"));
        assert!(why("failures.db").contains("sqlite:"));
        assert!(why("sqlite:").contains("missing"));
        assert!(why("sqlite://").contains("missing"));
        assert!(why("sqlite::memory:").contains("MemoryFailureLog"));
        assert!(why("sqlite:x?mode=memory").contains("MemoryFailureLog"));
        assert!(why("sqlite:x?mode=rwc").contains("parameters"));
        assert!(why("sqlite:/no/such/directory/x").contains("/no/such/directory"));
        assert!(why("sqlite:/tmp").contains("directory"));
    }

    #[test]
    fn a_wrong_address_is_shown_without_its_credentials() {
        let error = from_url("postgres://user:secret@localhost/x").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("localhost"), "{error}");
    }
}
