//! What scripts are given.
use redis::Cmd;

/// What a script is given.
pub(in crate::store::redis) struct Arguments {
    parts: Vec<Vec<u8>>,
    shared: Vec<bytes::Bytes>,
}

impl Arguments {
    /// Those that all scripts are given.
    pub(in crate::store::redis) fn new(
        prefix: &str,
        channels: &str,
        node: &str,
        run: &str,
        expiry: u64,
    ) -> Self {
        let parts = [prefix, channels, node, run]
            .map(|part| part.as_bytes().to_vec())
            .into_iter()
            .chain([expiry.to_string().into_bytes()]);
        Arguments { parts: parts.collect(), shared: Vec::new() }
    }

    pub(in crate::store::redis) fn text(mut self, argument: &str) -> Self {
        self.parts.push(argument.as_bytes().to_vec());
        self
    }

    pub(in crate::store::redis) fn bytes(mut self, argument: &[u8]) -> Self {
        self.parts.push(argument.to_vec());
        self
    }

    pub(in crate::store::redis) fn number(mut self, argument: u64) -> Self {
        self.parts.push(argument.to_string().into_bytes());
        self
    }

    /// Behind all others.
    pub(in crate::store::redis) fn bodies(
        mut self,
        bodies: impl IntoIterator<Item = bytes::Bytes>,
    ) -> Self {
        self.shared.extend(bodies);
        self
    }

    pub(super) fn command(&self, sha: &str) -> Cmd {
        let size = self.parts.iter().map(Vec::len).sum::<usize>()
            + self.shared.iter().map(bytes::Bytes::len).sum::<usize>();
        let mut command = Cmd::with_capacity(3 + self.parts.len() + self.shared.len(), size + 128);
        command.arg("EVALSHA").arg(sha).arg(0);
        self.parts.iter().for_each(|part| {
            command.arg(part.as_slice());
        });
        self.shared.iter().for_each(|body| {
            command.arg(&body[..]);
        });
        command
    }
}
