//! Signing a list with minisign.

use crate::process;
use crate::setup;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key pair, and the program that signs with it.
pub(super) struct Key {
    minisign: PathBuf,
    secret: PathBuf,
    public: PathBuf,
    has_password: bool,
}

impl Key {
    /// The one that somebody keeps, with its public half beside it, or else one made for a
    /// release that nobody else will trust.
    pub(super) fn of(secret: Option<&Path>, release: &Path) -> anyhow::Result<Self> {
        let minisign = setup::minisign()?;
        if let Some(secret) = secret {
            return Ok(Self {
                minisign,
                secret: secret.to_owned(),
                public: secret.with_extension("pub"),
                has_password: true,
            });
        }
        let key = Self {
            minisign,
            secret: release.join("trial.key"),
            public: release.join("trial.pub"),
            has_password: false,
        };
        if !key.secret.is_file() {
            fs::create_dir_all(release).with_context(|| release.display().to_string())?;
            let mut generate = Command::new(&key.minisign);
            generate.args(["-G", "-W", "-f", "-s"]).arg(&key.secret);
            process::capture(generate.arg("-p").arg(&key.public))?;
        }
        Ok(key)
    }

    /// The public half, in base64.
    pub(super) fn public(&self) -> anyhow::Result<String> {
        let shown = self.public.display();
        let text = fs::read_to_string(&self.public).with_context(|| shown.to_string())?;
        let line = text.lines().nth(1);
        Ok(line
            .with_context(|| format!("{shown}: no minisign key"))?
            .to_owned())
    }

    /// Signs a file of a version; asks for the key's password.
    pub(super) fn sign(&self, path: &Path, version: &str) -> anyhow::Result<()> {
        let comment = format!("encoderfile {version}");
        let mut sign = Command::new(&self.minisign);
        sign.args(["-S", "-t", &comment, "-s"]).arg(&self.secret);
        sign.arg("-m").arg(path);
        match self.has_password {
            // It is typed.
            true => {
                let status = sign.status()?;
                process::succeeded(&sign, status)
            }
            false => process::capture(&mut sign).map(drop),
        }
    }
}
