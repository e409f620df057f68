//! PostgreSQL's tools with a `pg_restore` or a `pg_dump` that does something more: how a restored database comes to differ, and what happens
//! while a backup begins.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::bench::Bench;

/// When the SQL runs in the database that is restored into.
#[derive(Clone, Copy)]
pub enum Moment {
    /// After schemas and bare tables, before rows.
    Bare,
    /// After rows, before indexes and constraints.
    Loaded,
    /// After everything that `pg_restore` does, before the proofs.
    Whole,
}

/// A folder of tools whose `pg_restore` runs `sql` at that moment.
pub fn tools_with(bench: &Bench, moment: Moment, sql: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let real = bench.server.bin_dir();
    for tool in ["pg_dump", "pg_dumpall"] {
        symlink(real.join(tool), folder.path().join(tool)).unwrap();
    }
    let sql_file = folder.path().join("more.sql");
    std::fs::write(&sql_file, sql).unwrap();
    let restore = format!("\"{}\" \"$@\" || exit $?", real.join("pg_restore").display());
    // The connection is in libpq's variables, the database among them.
    let more = format!(
        "\"{}\" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file=\"{}\" || exit $?",
        real.join("psql").display(),
        sql_file.display()
    );
    let (section, first, second) = match moment {
        Moment::Bare => ("pre-data", &restore, &more),
        Moment::Loaded => ("post-data", &more, &restore),
        Moment::Whole => ("post-data", &restore, &more),
    };
    let script =
        format!("#!/bin/sh\ncase \" $* \" in\n*--section={section}*)\n{first}\n{second}\n;;\n*) {restore} ;;\nesac\n");
    write_program(&folder.path().join("pg_restore"), &script);
    folder
}

/// A folder of tools whose `pg_dump` first runs this script, once: what others do between a backup's snapshot and its schema. The script
/// finds the connection in libpq's variables and `psql`, as another application, in `$PSQL`.
pub fn tools_with_first_dump(bench: &Bench, script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let real = bench.server.bin_dir();
    for tool in ["pg_restore", "pg_dumpall"] {
        symlink(real.join(tool), folder.path().join(tool)).unwrap();
    }
    let psql = real.join("psql");
    let program = format!(
        "#!/bin/sh\nPSQL=\"env -u PGAPPNAME {} --no-psqlrc --quiet --set=ON_ERROR_STOP=1\"\ncase \" $* \" in\n*--schema-only*)\n\
         if mkdir \"$0.ran\" 2>/dev/null; then\n{script}\nfi ;;\nesac\nexec \"{}\" \"$@\"\n",
        psql.display(),
        real.join("pg_dump").display()
    );
    write_program(&folder.path().join("pg_dump"), &program);
    folder
}

fn write_program(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
