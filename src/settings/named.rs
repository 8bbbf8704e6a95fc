//! Secrets by names that no table declares: the users of the health and node surface.

use std::{collections::BTreeMap, fmt};

use secrecy::SecretString;

use super::{
    Setting, Source,
    binding::{spellings, variable},
    reader::{MASK, Reader},
    values::Value,
};

/// A secret and its name.
#[derive(Clone)]
pub struct Named {
    /// The name, as the variable's end has it.
    pub name: String,
    /// The secret.
    pub secret: SecretString,
    /// Whether the variable is in upper case: then Gravitee finds it for the name in any case.
    pub any_case: bool,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={MASK}", self.name)
    }
}

impl Named {
    /// Whether Gravitee's binding would find this one when it is asked for `name`: as it is, with dots as `_`, without
    /// hyphens, both; and all that in upper case, when the variable is.
    pub fn is_named(&self, name: &str) -> bool {
        let plain = name.replace('-', "");
        let spelled = [name.to_owned(), name.replace('.', "_"), plain.replace('.', "_"), plain];
        spelled.iter().any(|name| *name == self.name || (self.any_case && name.to_uppercase() == self.name))
    }
}

impl Reader<'_> {
    /// The secrets below `property`, by name; and the variable that would be set. A name that ends with `_FILE` means
    /// the file that holds the secret.
    pub(super) fn named_secrets(&mut self, property: &str, help: &'static str) -> (String, Vec<Named>) {
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for spelling in spellings(property) {
            let any_case = !spelling.contains(char::is_lowercase);
            let separator = if spelling.contains('.') { '.' } else { '_' };
            for (_, rest) in self.names.all() {
                let end = rest.strip_prefix(spelling.as_str()).and_then(|rest| rest.strip_prefix(separator));
                let Some(name) = end.map(|end| end.strip_suffix("_FILE").unwrap_or(end)) else { continue };
                if !name.is_empty() {
                    *names.entry(name.to_owned()).or_insert(true) &= any_case;
                }
            }
        }
        let exact: Vec<String> =
            names.iter().filter(|(_, any_case)| !**any_case).map(|(name, _)| name.to_uppercase()).collect();
        // Both spellings of one name are one, and the exact one binds.
        names.retain(|name, any_case| !*any_case || !exact.contains(name));
        let mut found = Vec::new();
        for (name, any_case) in names {
            let (variable, source, value) = self.secret(&format!("{property}.{name}"));
            let is_there = value.is_some();
            self.settings.push(Setting {
                variable,
                value: is_there.then(|| MASK.to_owned()),
                source,
                default: None,
                help,
            });
            if let Some(Value::Secret(secret)) = value {
                found.push(Named { name, secret, any_case });
            }
        }
        let variable = format!("{}_NAME", variable(property));
        if found.is_empty() {
            let unset = Setting { variable: variable.clone(), value: None, source: Source::Unset, default: None, help };
            self.settings.push(unset);
        }
        (variable, found)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::settings::Environment;

    const USERS: &str = "services.core.http.authentication.users";

    fn read(variables: &[(&str, &str)]) -> (Vec<Named>, Vec<String>) {
        let environment: Environment = variables.iter().copied().collect();
        let environment = environment.with_files(|path| match path.to_str() {
            Some("/run/secrets/admin") => Ok(b"from-a-file\n".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        });
        let mut reader = Reader::new(&environment);
        let (_, found) = reader.named_secrets(USERS, "");
        (found, reader.faults.iter().map(ToString::to_string).collect())
    }

    fn users(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let (found, faults) = read(variables);
        assert_eq!(faults, [""; 0]);
        found.iter().map(|one| (one.name.clone(), one.secret.expose_secret().to_owned())).collect()
    }

    fn pair(name: &str, secret: &str) -> (String, String) {
        (name.into(), secret.into())
    }

    #[test]
    fn names_come_in_every_spelling_of_gravitees_rules() {
        for variable in [
            "gravitee_services_core_http_authentication_users_admin",
            "gravitee.services.core.http.authentication.users.admin",
            "GRAVITEE_services_core_http_authentication_users_admin",
        ] {
            assert_eq!(users(&[(variable, "one")]), [pair("admin", "one")], "{variable}");
        }
        for variable in [
            "gravitee_services_core_http_Authentication_users_admin",
            "gravitee_services_core_http_authentication_users",
        ] {
            assert!(users(&[(variable, "one")]).is_empty(), "{variable}");
        }
        let both = [
            ("gravitee_services_core_http_authentication_users_ann", "one"),
            ("gravitee_services_core_http_authentication_users_my_user", "two"),
            ("gravitee_services_core_http_authentication_users_nobody", ""),
        ];
        assert_eq!(users(&both), [pair("ann", "one"), pair("my_user", "two")]);
    }

    #[test]
    fn a_variable_in_upper_case_stands_for_the_name_in_any_case() {
        let (found, _) = read(&[("GRAVITEE_SERVICES_CORE_HTTP_AUTHENTICATION_USERS_ADMIN", "one")]);
        let [admin] = found.as_slice() else { panic!("{found:?}") };
        assert!(["ADMIN", "admin", "Admin"].iter().all(|name| admin.is_named(name)) && !admin.is_named("root"));

        let (found, _) = read(&[("gravitee_services_core_http_authentication_users_admin", "one")]);
        assert!(found[0].is_named("admin") && !found[0].is_named("Admin") && found[0].is_named("ad-min"));

        let twice = [
            ("GRAVITEE_SERVICES_CORE_HTTP_AUTHENTICATION_USERS_ADMIN", "one"),
            ("gravitee_services_core_http_authentication_users_admin", "two"),
        ];
        assert_eq!(users(&twice), [pair("admin", "two")]);
    }

    #[test]
    fn a_secret_can_come_from_a_file() {
        let file = [("gravitee_services_core_http_authentication_users_admin_FILE", "/run/secrets/admin")];
        assert_eq!(users(&file), [pair("admin", "from-a-file")]);
        let both = [file[0], ("gravitee_services_core_http_authentication_users_admin", "hunter2")];
        let (found, faults) = read(&both);
        assert!(found.is_empty() && faults.len() == 1 && !faults[0].contains("hunter2"), "{faults:?}");
        assert!(!format!("{:?}", read(&file).0).contains("from-a-file"));
    }
}
