//! Certificates for TLS: an authority, a server certificate for 127.0.0.1 and localhost, and a second authority
//! that signed nothing, for the tests in which verification must fail.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::account::Account;
use crate::packages;

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// The files that a server needs to offer TLS.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The server's certificate.
    pub(super) certificate: PathBuf,
    /// Its key, readable by the servers' account alone: PostgreSQL insists.
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes all files in the directory.
    pub(super) fn make(account: &Account, directory: &Path) -> Result<Self> {
        let certificates =
            Self { certificate: directory.join("server.pem"), key: directory.join("server-key.pem") };
        make_authority(directory, "authority")?;
        make_authority(directory, "other-authority")?;
        // An authority may not be the server's own certificate at once: rustls takes none that is both.
        fs::write(
            directory.join("extensions"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )?;
        let mut request = openssl(directory)?;
        request.arg("req").args(NEW_KEY).args(["-keyout", "server-key.pem", "-out", "request"]);
        succeed_quietly(request.args(["-subj", "/CN=localhost"]))?;
        let mut sign = openssl(directory)?;
        sign.args(["x509", "-req", "-in", "request", "-extfile", "extensions", "-days", "30"]);
        sign.args(["-CA", "authority.pem", "-CAkey", "authority-key.pem", "-CAcreateserial"]);
        succeed_quietly(sign.args(["-out", "server.pem"]))?;

        fs::set_permissions(&certificates.key, Permissions::from_mode(0o600))?;
        account.own(&certificates.key)?;
        Ok(certificates)
    }

    /// Returns the certificate of the authority that clients should trust.
    pub(super) fn authority(directory: &Path) -> PathBuf {
        directory.join("authority.pem")
    }

    /// Returns the certificate of the authority that signed nothing.
    pub(super) fn other_authority(directory: &Path) -> PathBuf {
        directory.join("other-authority.pem")
    }
}

fn make_authority(directory: &Path, name: &str) -> Result<()> {
    let mut authority = openssl(directory)?;
    authority.args(["req", "-x509"]).args(NEW_KEY).args(["-days", "30"]);
    authority.args(["-keyout", &format!("{name}-key.pem"), "-out", &format!("{name}.pem")]);
    succeed_quietly(authority.args(["-subj", &format!("/CN=whimbrel test {name}")]))
}

fn openssl(directory: &Path) -> Result<Command> {
    let mut command = Command::new(packages::path_of("openssl")?);
    command.current_dir(directory);
    Ok(command)
}

/// Runs a command whose output only matters when it fails.
pub(super) fn succeed_quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{said}", output.status);
    }
    Ok(())
}
