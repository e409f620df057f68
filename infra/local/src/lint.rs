//! cfn-lint over the templates, from its own pinned environment.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::venv::{LINT, Venv};
use crate::workspace;

/// The templates of this project, relative to its root.
pub const TEMPLATES: [&str; 2] = ["template.yaml", "infra/site.yaml"];

/// Lints the project's templates. The error has the whole output of cfn-lint. Warnings are errors.
pub fn lint() -> Result<()> {
    TEMPLATES.iter().try_for_each(|template| lint_template(&workspace::root().join(template)))
}

/// Lints one template.
pub fn lint_template(template: &Path) -> Result<()> {
    let venv = Venv::ensure(LINT)?;
    let output = Command::new(venv.program("cfn-lint"))
        .arg("--template")
        .arg(template)
        .stdin(Stdio::null())
        .output()
        .context("cannot start cfn-lint")?;
    if !output.status.success() {
        bail!("cfn-lint: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim());
    }
    Ok(())
}
