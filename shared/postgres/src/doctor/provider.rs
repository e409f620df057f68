//! Managed PostgreSQL: the provider behind a host name, and how Lifeboat should connect to it.

use crate::doctor::check::Checked;
use crate::session::settings::ConnectionSettings;

/// One line on the provider behind a connection.
pub(crate) fn provider(settings: &ConnectionSettings) -> Checked {
    let (host, port) = (settings.host.to_ascii_lowercase(), settings.port);
    let ok = |seen: &str| Checked::Ok(seen.to_owned());
    let warn = |seen: &str, hint: &'static str| Checked::Warn { seen: seen.to_owned(), hint };
    if host.ends_with(".pooler.supabase.com") && port == 6543 {
        warn("Supabase pooler in transaction mode", "use port 5432 of the same host, which is in session mode")
    } else if host.ends_with(".pooler.supabase.com") {
        ok("Supabase pooler in session mode; the platform owns schemas such as `auth` and `storage`")
    } else if host.ends_with(".supabase.co") && port == 6543 {
        warn("Supabase dedicated pooler in transaction mode", "use port 5432 of the same host")
    } else if host.ends_with(".supabase.co") {
        ok("Supabase direct connection; it needs IPv6 unless the project has the IPv4 add-on")
    } else if host.ends_with(".rds.amazonaws.com") && host.contains(".proxy-") {
        warn(
            "RDS Proxy, which may give each transaction another server connection",
            "use the endpoint of the instance or the cluster instead",
        )
    } else if host.ends_with(".rds.amazonaws.com") {
        ok("RDS or Aurora; it cannot grant BYPASSRLS: grant the backup role the role that owns the tables instead")
    } else if host.ends_with(".neon.tech") && host.split('.').next().is_some_and(|name| name.ends_with("-pooler")) {
        warn("Neon pooler in transaction mode", "use the host without `-pooler`")
    } else if host.ends_with(".neon.tech") {
        ok("Neon direct connection; a suspended compute delays the first connection")
    } else {
        ok("no managed provider recognized")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_known_by_its_host_and_its_pooler_is_warned_of() {
        let of =
            |address: &str| provider(&ConnectionSettings::from_secret(&format!("postgres://u:p@{address}/d")).unwrap());
        for (address, word, is_warned) in [
            ("aws-0-eu-central-1.pooler.supabase.com:6543", "Supabase", true),
            ("aws-0-eu-central-1.pooler.supabase.com:5432", "session mode", false),
            ("db.abcdefgh.supabase.co", "IPv6", false),
            ("db.abcdefgh.supabase.co:6543", "dedicated pooler", true),
            ("clinic.c1x2y3.eu-central-1.rds.amazonaws.com", "RDS", false),
            ("clinic.proxy-c1x2y3.eu-central-1.rds.amazonaws.com", "RDS Proxy", true),
            ("ep-cool-darkness-123456-pooler.eu-central-1.aws.neon.tech", "Neon", true),
            ("ep-cool-darkness-123456.eu-central-1.aws.neon.tech", "Neon direct", false),
            ("db.example.com", "no managed provider", false),
        ] {
            let (seen, warned) = match of(address) {
                Checked::Ok(seen) => (seen, false),
                Checked::Warn { seen, .. } => (seen, true),
                Checked::Failed(error) => panic!("{address}: {error}"),
            };
            assert!(seen.contains(word) && warned == is_warned, "{address}: {seen}");
        }
    }
}
