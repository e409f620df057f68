//! cfn-lint and checkov over the templates, each from its own pinned environment.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::venv::{CHECKOV, LINT, Venv};
use crate::workspace;

/// The templates of this project, relative to its root.
pub const TEMPLATES: [&str; 2] = ["template.yaml", "infra/site.yaml"];

/// What checkov is asked and which of its checks are left out, with the reasons, relative to the project's root.
const CHECKOV_SETTINGS: &str = ".checkov.yaml";

/// Lints the project's templates. The error has the whole output of the program that complains. Warnings are errors.
pub fn lint() -> Result<()> {
    lint_templates(&TEMPLATES.map(|template| workspace::root().join(template)))
}

/// Lints `templates`.
pub fn lint_templates(templates: &[PathBuf]) -> Result<()> {
    let cfn_lint = Venv::ensure(LINT)?;
    run(Command::new(cfn_lint.program("cfn-lint")).arg("--template").args(templates))?;
    let checkov = Venv::ensure(CHECKOV)?;
    let settings = workspace::root().join(CHECKOV_SETTINGS);
    run(Command::new(checkov.program("checkov")).arg("--config-file").arg(settings).arg("--file").args(templates))
}

/// Runs a linter to its end.
fn run(linter: &mut Command) -> Result<()> {
    let program = linter.get_program().to_string_lossy().into_owned();
    let output = linter.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{program}`"))?;
    if !output.status.success() {
        bail!("`{program}`: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim());
    }
    Ok(())
}
