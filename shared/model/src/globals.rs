//! Properties of a database that lie outside of it, on its server, and the server's roles. No schema archive restores them into
//! a database with another name.

use serde::{Deserialize, Serialize};

/// The properties of one database and the roles of its server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globals {
    /// The database itself.
    pub database: DatabaseProperties,
    /// PostgreSQL's own (`pg_…`) are not among them. By name.
    pub roles: Vec<Role>,
    /// The memberships, by role and member.
    pub memberships: Vec<Membership>,
}

/// The properties that ALTER DATABASE, COMMENT ON DATABASE and GRANT … ON DATABASE set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    /// Its owner.
    pub owner: String,
    /// Its connection limit; -1 for no limit.
    pub connection_limit: i32,
    /// Its comment.
    pub comment: Option<String>,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`. By role, then as they were made.
    pub settings: Vec<Setting>,
    /// Who but the owner may do what with it, the default grants among them. By grantee and privilege.
    pub grants: Vec<DatabaseGrant>,
}

/// A setting that a session begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The role whose sessions begin with it; absent for every role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Such as `work_mem`.
    pub name: String,
    /// As `pg_db_role_setting` has it; lists of names are quoted and separated by commas.
    pub value: String,
}

/// One privilege on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseGrant {
    /// The role; absent for PUBLIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// `CONNECT`, `CREATE` or `TEMPORARY`.
    pub privilege: String,
    /// WITH GRANT OPTION.
    pub is_grantable: bool,
}

/// A role, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The attributes of CREATE ROLE: `SUPERUSER`, `CREATEDB`, `CREATEROLE`, `INHERIT`, `LOGIN`, `REPLICATION`, `BYPASSRLS`: those it
    /// has, in this order.
    pub attributes: Vec<String>,
    /// Its connection limit; -1 for no limit.
    pub connection_limit: i32,
    /// When its password expires, in UTC.
    pub valid_until: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// `ALTER ROLE … SET`, for every database, as they were made.
    pub settings: Vec<Setting>,
}

/// One role's membership in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role that is granted.
    pub role: String,
    /// To whom.
    pub member: String,
    /// WITH ADMIN OPTION.
    pub admin: bool,
    /// Whether the member inherits its privileges without SET ROLE. From PostgreSQL 16 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherit: Option<bool>,
    /// Whether SET ROLE is allowed. From PostgreSQL 16 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<bool>,
}

impl DatabaseProperties {
    /// How `restored` differs from these properties of the source, in words and without values. `whole` also compares what
    /// only a database of one's own takes over: owner, connection limit and comment.
    pub fn differences(&self, restored: &Self, whole: bool) -> Vec<String> {
        let mut found = Vec::new();
        if whole && self.owner != restored.owner {
            found.push(format!("its owner is `{}` and was `{}`", restored.owner, self.owner));
        }
        if whole && self.connection_limit != restored.connection_limit {
            found.push("its connection limit differs".to_owned());
        }
        if whole && self.comment != restored.comment {
            found.push("its comment differs".to_owned());
        }
        let key = |setting: &Setting| match &setting.role {
            Some(role) => format!("setting `{}` of role `{role}`", setting.name),
            None => format!("setting `{}`", setting.name),
        };
        found.extend(unequal(&self.settings, &restored.settings, key));
        // A grant to or by another owner is not comparable.
        let kept = |grants: &[DatabaseGrant]| -> Vec<DatabaseGrant> {
            let owners = [&self.owner, &restored.owner];
            let is_owner = |grant: &&DatabaseGrant| grant.grantee.as_ref().is_some_and(|name| owners.contains(&name));
            grants.iter().filter(|grant| !is_owner(grant)).cloned().collect()
        };
        let key = |grant: &DatabaseGrant| {
            format!("grant of {} to `{}`", grant.privilege, grant.grantee.as_deref().unwrap_or("PUBLIC"))
        };
        found.extend(unequal(&kept(&self.grants), &kept(&restored.grants), key));
        found
    }
}

impl Globals {
    /// How the roles of `restored` differ from these, as (role, what) in words and without values. Roles and memberships that
    /// only `restored` has are its server's own and no difference.
    pub fn role_differences(&self, restored: &Self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for role in &self.roles {
            let what = match restored.roles.iter().find(|other| other.name == role.name) {
                None => "it is missing",
                Some(other) if other.attributes != role.attributes => "its attributes differ",
                Some(other) if other.settings != role.settings => "its settings differ",
                Some(other) if other != role => "its connection limit, expiry or comment differs",
                Some(_) => continue,
            };
            found.push((role.name.clone(), what.to_owned()));
        }
        for ours in &self.memberships {
            let theirs = restored.memberships.iter().find(|m| m.role == ours.role && m.member == ours.member);
            // A server before PostgreSQL 16 has one option, not three.
            let same = |other: &Membership| {
                other.admin == ours.admin
                    && (other.inherit.is_none() || ours.inherit.is_none() || other.inherit == ours.inherit)
                    && (other.set.is_none() || ours.set.is_none() || other.set == ours.set)
            };
            let what = match theirs {
                None => format!("it is not a member of `{}`", ours.role),
                Some(other) if !same(other) => format!("it is a member of `{}` with different options", ours.role),
                Some(_) => continue,
            };
            found.push((ours.member.clone(), what));
        }
        found
    }
}

/// The items that differ or are in only one of the two, by name.
fn unequal<T: PartialEq>(ours: &[T], theirs: &[T], key: impl Fn(&T) -> String) -> Vec<String> {
    let lost = ours.iter().filter(|one| !theirs.contains(one)).map(|one| format!("{} differs", key(one)));
    let known: Vec<String> = ours.iter().map(&key).collect();
    let extra = theirs.iter().map(&key).filter(|name| !known.contains(name)).map(|name| format!("{name} is new"));
    lost.chain(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(role: Option<&str>, name: &str, value: &str) -> Setting {
        Setting { role: role.map(str::to_owned), name: name.to_owned(), value: value.to_owned() }
    }

    fn grant(grantee: Option<&str>, privilege: &str) -> DatabaseGrant {
        DatabaseGrant { grantee: grantee.map(str::to_owned), privilege: privilege.to_owned(), is_grantable: false }
    }

    #[test]
    fn what_a_database_lost_or_gained_is_named_without_its_values() {
        let source = DatabaseProperties {
            owner: "one".to_owned(),
            settings: vec![setting(None, "a", "secret"), setting(Some("r"), "a", "1")],
            grants: vec![grant(None, "CONNECT"), grant(Some("one"), "CREATE"), grant(Some("app"), "CREATE")],
            ..DatabaseProperties::default()
        };
        let restored = DatabaseProperties {
            owner: "other".to_owned(),
            settings: vec![setting(None, "a", "hidden"), setting(None, "b", "x")],
            grants: vec![grant(None, "CONNECT"), grant(None, "TEMPORARY")],
            ..DatabaseProperties::default()
        };
        let parts = [
            "setting `a` differs",
            "setting `a` of role `r` differs",
            "setting `b` is new",
            "grant of CREATE to `app` differs",
            "grant of TEMPORARY to `PUBLIC` is new",
        ];
        assert_eq!(source.differences(&restored, false), parts);
        assert_eq!(source.differences(&restored, true)[0], "its owner is `other` and was `one`");
        assert!(source.differences(&source, true).is_empty());
    }

    #[test]
    fn a_role_that_lost_something_is_named_and_what_only_the_other_server_has_is_not() {
        let role = |name: &str, attributes: &[&str]| Role {
            name: name.to_owned(),
            attributes: attributes.iter().map(|attribute| (*attribute).to_owned()).collect(),
            connection_limit: -1,
            valid_until: None,
            comment: None,
            settings: Vec::new(),
        };
        let membership =
            |inherit| Membership { role: "a".to_owned(), member: "b".to_owned(), admin: false, inherit, set: None };
        let source = Globals {
            roles: vec![role("a", &["INHERIT"]), role("b", &["INHERIT", "LOGIN"])],
            memberships: vec![membership(Some(true))],
            ..Globals::default()
        };
        let mut other = source.clone();
        other.roles.push(role("c", &[]));
        other.memberships[0].inherit = None;
        assert!(source.role_differences(&other).is_empty());
        other.memberships[0].inherit = Some(false);
        other.roles[1].attributes.pop();
        let found = source.role_differences(&other);
        assert_eq!(found[0], ("b".to_owned(), "its attributes differ".to_owned()));
        assert_eq!(found[1], ("b".to_owned(), "it is a member of `a` with different options".to_owned()));
    }
}
