//! PostgreSQL's tools with a `pg_restore` or a `pg_dump` that does something more: how a restored database comes to differ, and what happens
//! while a backup begins.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::bench::Bench;

/// When the SQL runs in the database that is restored into.
#[derive(Clone, Copy)]
pub enum Moment {
    /// After schemas and bare tables, before rows.
    Bare,
    /// After rows, before indexes and constraints.
    Loaded,
    /// After everything else of the archive, before the proofs.
    Whole,
}

/// A folder of tools whose `pg_restore` finds one more entry in each archive, which runs `sql` at that moment.
pub fn tools_with(bench: &Bench, moment: Moment, sql: &str) -> TempDir {
    let (folder, real) = folder_with_restore(bench);
    let (section, kind) = match moment {
        Moment::Bare => ("pre-data", "PROCEDURE"),
        Moment::Loaded => ("post-data", "PROCEDURE"),
        // An event trigger comes last.
        Moment::Whole => ("post-data", "EVENT TRIGGER"),
    };
    let entry = format!(
        "\n--\n-- TOC entry 999999 (class 1 OID 2)\n-- Name: more; Type: {kind}; Schema: -; Owner: postgres\n--\n\n\
         SELECT pg_catalog.set_config('search_path', 'public', false);\n{sql};\nSELECT pg_catalog.set_config('search_path', '', false);\n"
    );
    let line = format!("999999; 1 2 {kind} - more postgres\n");
    std::fs::write(folder.path().join("more.sql"), entry).unwrap();
    std::fs::write(folder.path().join("more.list"), line).unwrap();
    // Before indexes and constraints: each of them depends on it.
    let first = match moment {
        Moment::Loaded => {
            "sed -i -e 's/^-- Dependencies: /&999999 /' -e '/^-- TOC entry /a -- Dependencies: 999999' \"$into\""
        }
        Moment::Bare | Moment::Whole => ":",
    };
    let script = format!(
        "#!/bin/sh\n\"{}\" \"$@\" || exit $?\nprevious=\nfor argument; do\n[ \"$previous\" = --file ] && into=$argument\nprevious=$argument\ndone\n\
         case \" $* \" in\n*--list*--section={section}*) cat \"{folder}/more.list\" >> \"$into\" ;;\n\
         *--section={section}*) {first}\ncat \"{folder}/more.sql\" >> \"$into\" ;;\nesac\n",
        real.display(),
        folder = folder.path().display(),
    );
    write_program(&folder.path().join("pg_restore"), &script);
    folder
}

/// A folder of tools whose `pg_restore` reads no archive.
pub fn tools_that_cannot_read(bench: &Bench) -> TempDir {
    let (folder, real) = folder_with_restore(bench);
    let script = format!("#!/bin/sh\ncase \"$1\" in --version) exec \"{}\" \"$@\" ;; esac\nexit 1\n", real.display());
    write_program(&folder.path().join("pg_restore"), &script);
    folder
}

/// A folder with the other tools, and the real `pg_restore`.
fn folder_with_restore(bench: &Bench) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let real = bench.server.bin_dir();
    for tool in ["pg_dump", "pg_dumpall"] {
        symlink(real.join(tool), folder.path().join(tool)).unwrap();
    }
    (folder, real.join("pg_restore"))
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
