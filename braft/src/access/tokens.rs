//! The tokens of callers, as a node knows them: by their hashes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use sha2::{Digest, Sha256};

use super::role::Role;
use super::secret::Secret;
use super::watched::{LOOK_EVERY, Watched};

/// Tokens in one file.
const MAX_TOKENS: usize = 1024;
const MAX_NAME_BYTES: usize = 64;
/// Before the hash of a token, where the file has no token itself.
const HASHED: &str = "sha256:";
/// What is told of a line that is none.
const FORM: &str = "a line is `ROLE NAME TOKEN`, with read, write or admin for the role, and the token \
                    itself or sha256: and its SHA-256 in hexadecimal digits";

type Hash = [u8; 32];

/// Who may call this node's services, by tokens in a file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Arc<Watched<Table>>);

/// What one token is good for. Whoever was let in by it keeps this, and loses the role with it.
#[derive(Debug)]
pub(crate) struct Grant {
    name: String,
    /// That of a [`Role`]; 0 once the token is withdrawn.
    role: AtomicU8,
}

#[derive(Debug)]
pub(super) struct Table(HashMap<Hash, Arc<Grant>>);

impl Tokens {
    /// Reads the file; it is read again once it changes.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        Watched::load(path, Table::read).map(|table| Tokens(Arc::new(table)))
    }

    /// What a token is good for, if it is one.
    // Found by its hash: how long that takes tells nothing of any token.
    pub(crate) fn grant(&self, shown: &str) -> Option<Arc<Grant>> {
        let hash: Hash = Sha256::digest(shown.as_bytes()).into();
        self.0.now().0.get(&hash).cloned()
    }

    /// Looks at the file while nobody new calls: who was let in by a token that is withdrawn is put out.
    pub(crate) async fn watch(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            drop(self.0.now());
        }
    }
}

impl Grant {
    /// Whose token it is, as the file says.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is good for this, now.
    pub(crate) fn may(&self, needed: Role) -> bool {
        self.role.load(Ordering::Relaxed) >= needed as u8
    }

    /// Why it is not good for something.
    pub(crate) fn refusal(&self, what: &str, needed: Role) -> String {
        let name = &self.name;
        match Role::of(self.role.load(Ordering::Relaxed)) {
            Some(role) => {
                format!("{what} needs the role {needed}, and the token of {name:?} has {role}")
            }
            None => format!("the token of {name:?} was withdrawn; show another one"),
        }
    }
}

impl Table {
    /// Keeps the grants of tokens that are there as before, with their roles of now.
    pub(super) fn read(text: &str, before: Option<&Self>) -> Result<Self, String> {
        let mut wanted: HashMap<Hash, (String, Role)> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = number + 1;
            let (hash, name, role) =
                read_line(line).map_err(|why| format!("line {number}: {why}"))?;
            if wanted.insert(hash, (name, role)).is_some() {
                return Err(format!("line {number}: this token is in the file already"));
            }
            if wanted.len() > MAX_TOKENS {
                return Err(format!("there may be {MAX_TOKENS} tokens at most"));
            }
        }
        if wanted.is_empty() {
            return Err(format!("there is no token in it; {FORM}"));
        }
        let kept = |hash: &Hash, name: &str| {
            let grant = before?.0.get(hash)?;
            (grant.name == name).then(|| grant.clone())
        };
        let table: HashMap<_, _> = wanted
            .into_iter()
            .map(|(hash, (name, role))| {
                let grant = kept(&hash, &name).unwrap_or_else(|| {
                    let role = AtomicU8::new(0);
                    Arc::new(Grant { name, role })
                });
                grant.role.store(role as u8, Ordering::Relaxed);
                (hash, grant)
            })
            .collect();
        for (hash, grant) in before.into_iter().flat_map(|before| &before.0) {
            let is_kept = table.get(hash).is_some_and(|now| Arc::ptr_eq(now, grant));
            if !is_kept {
                grant.role.store(0, Ordering::Relaxed);
            }
        }
        Ok(Table(table))
    }
}

fn read_line(line: &str) -> Result<(Hash, String, Role), String> {
    let mut words = line.split_whitespace();
    let (Some(role), Some(name), Some(token), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(FORM.to_owned());
    };
    // None of the words is repeated in an error: in a line in another order any may be the token.
    let role = Role::named(role).ok_or(FORM)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if name.len() > MAX_NAME_BYTES || !name.chars().all(is_plain) {
        return Err(format!(
            "a name has letters, digits, dots, dashes, underscores and @, {MAX_NAME_BYTES} at most"
        ));
    }
    let hash = match token.strip_prefix(HASHED) {
        Some(digits) => hash_in(digits).ok_or_else(|| {
            format!("{HASHED} is followed by 64 hexadecimal digits: `printf %s TOKEN | sha256sum`")
        })?,
        None => Sha256::digest(Secret::new(token)?.text().as_bytes()).into(),
    };
    Ok((hash, name.to_owned(), role))
}

fn hash_in(digits: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: &str = "a-token-for-reading";
    const WRITER: &str = "a-token-for-writing";

    fn grant(table: &Table, token: &str) -> Option<Arc<Grant>> {
        let hash: Hash = Sha256::digest(token.as_bytes()).into();
        table.0.get(&hash).cloned()
    }

    #[test]
    fn a_token_is_good_for_its_role_and_those_below_whether_it_is_hashed_or_not() {
        let digits: String = Sha256::digest(WRITER.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text =
            format!("# who may call\n\nread grafana {READER}\n write  shop  sha256:{digits}\n");
        let table = Table::read(&text, None).expect("two tokens");
        let reader = grant(&table, READER).expect("a token");
        assert!(reader.may(Role::Read) && !reader.may(Role::Write));
        let why = reader.refusal("this command", Role::Write);
        assert!(
            why.contains("needs the role write") && why.contains("grafana"),
            "{why}"
        );
        let writer = grant(&table, WRITER).expect("a token");
        assert!(writer.may(Role::Read) && writer.may(Role::Write) && !writer.may(Role::Admin));
        assert!(grant(&table, &digits).is_none(), "a hash is no token");
        assert!(!format!("{table:?}").contains(READER));
    }

    #[test]
    fn who_was_let_in_loses_and_gains_with_the_file() {
        let text = format!("read a {READER}\nwrite b {WRITER}");
        let before = Table::read(&text, None).expect("two tokens");
        let [reader, writer] = [READER, WRITER].map(|token| grant(&before, token).expect("there"));
        // A file that cannot be used changes nothing.
        Table::read("read a", Some(&before)).expect_err("no token");
        assert!(writer.may(Role::Write));
        let after = Table::read(&format!("admin a {READER}"), Some(&before)).expect("one");
        assert!(reader.may(Role::Admin));
        assert!(!writer.may(Role::Read));
        assert!(writer.refusal("this", Role::Read).contains("withdrawn"));
        // Under another name it is another one's.
        Table::read(&format!("admin c {READER}"), Some(&after)).expect("one");
        assert!(!reader.may(Role::Read));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_and_no_token_is() {
        let digits = "0".repeat(63);
        for (text, said) in [
            (String::new(), "no token"),
            (format!("read a {READER}\nwrote b {WRITER}"), "line 2"),
            (format!("{READER} read a"), "ROLE NAME TOKEN"),
            (format!("read {READER}"), "ROLE NAME TOKEN"),
            (format!("read a {READER} more"), "ROLE NAME TOKEN"),
            (format!("read a/b {READER}"), "a name has"),
            ("read a a-short-one".to_owned(), "16 to 512"),
            (format!("read a sha256:{digits}"), "64 hexadecimal"),
            (format!("read a {READER}\nadmin b {READER}"), "already"),
        ] {
            let why = Table::read(&text, None).expect_err(&text);
            assert!(why.contains(said), "{said:?} is missing in: {why}");
            assert!(
                !why.contains("token-for") && !why.contains("a-short-one"),
                "{why}"
            );
        }
    }
}
