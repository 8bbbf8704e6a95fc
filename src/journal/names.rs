//! File names of pages: the plane's ids, so that people find them and the agent reads them back.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// What stays as it is in a file name, but for capital letters: some file systems hold `A` and `a` for the same.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// No file system takes more than 255 bytes, and room is needed for what is put behind a name.
const LONGEST: usize = 200;

/// Between the beginning of a name that is too long and the hash of all of it; never in an encoded name.
const CUT: char = '~';

/// The empty id; a percent sign of an id is never alone.
const EMPTY: &str = "%";

/// A file name for `id`: distinct also where case is ignored, and free of dots, slashes and control characters.
pub(super) fn encode(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for part in utf8_percent_encode(id, SPECIAL) {
        if part.starts_with('%') {
            name.push_str(part);
            continue;
        }
        for letter in part.chars() {
            if letter.is_ascii_uppercase() {
                name.extend(['%', if letter < 'P' { '4' } else { '5' }]);
                name.extend(char::from_digit(letter as u32 % 16, 16).map(|digit| digit.to_ascii_uppercase()));
            } else {
                name.push(letter);
            }
        }
    }
    if name.is_empty() {
        return EMPTY.into();
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST / 2);
        name.push(CUT);
        name.extend(Sha256::digest(id).iter().map(|byte| format!("{byte:02x}")));
    }
    name
}

/// The id that has the file name `name`; `None`: it was too long to stand in it, or it is not one of ours.
pub(super) fn decode(name: &str) -> Option<String> {
    if name == EMPTY {
        return Some(String::new());
    }
    let id = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    (encode(&id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_the_plane_are_file_names_as_they_are() {
        let id = "b2c1a1ce-3b4e-4c8a-9c1a-ce3b4e1c8a5f";
        assert_eq!((encode(id).as_str(), decode(id).as_deref()), (id, Some(id)));
        assert_eq!(encode("../a b"), "%2E%2E%2Fa%20b");
        assert_eq!(encode("Ab"), "%41b", "a and A are two ids, and one file on many a disk");
        assert_eq!(decode(""), None);
        assert_eq!(decode("A"), None, "not written by us");
    }

    proptest! {
        #[test]
        fn any_id_is_a_harmless_file_name_and_is_read_back(id in "\\PC{0,80}|[\\x00-\\x7f]{0,300}|[A-Za-z]{0,3}") {
            let name = encode(&id);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST, "{name}");
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_%~".contains(&byte)), "{name}");
            let whole = !name.contains(CUT);
            prop_assert_eq!(decode(&name), whole.then_some(id));
        }

        #[test]
        fn two_ids_never_share_a_file(one in "[aAbB%.~]{0,4}|x{180}[a-c]{0,50}", other in "[aAbB%.~]{0,4}|x{180}[a-c]{0,50}") {
            let same = encode(&one).eq_ignore_ascii_case(&encode(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
