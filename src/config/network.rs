//! Networks, by their addresses: `10.0.0.0/8, ::1`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::kind::{Kind, Shape};

/// Some networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the address is in one of them. An address of IPv4 in the form of IPv6 is one of
    /// IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if network.prefix_len() == network.max_prefix_len() {
                write!(f, "{}", network.addr())?;
            } else {
                write!(f, "{network}")?;
            }
        }
        Ok(())
    }
}

/// Networks.
pub const NETWORKS: Kind<Networks> = Kind {
    name: "NETWORKS",
    values: "empty, or addresses and networks, separated by commas: 10.0.0.0/8, 192.0.2.7, ::1",
    shape: Shape::List,
    secret: false,
    words: &[],
    parse: |text| {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let networks = words.map(|word| {
            let network =
                word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("{word:?} is none: expected {}", NETWORKS.values))
        });
        networks.collect::<Result<_, _>>().map(Networks)
    },
    print: Networks::to_string,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        for (text, printed) in [
            ("", ""),
            ("10.0.0.0/8, ::1", "10.0.0.0/8,::1"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!((NETWORKS.parse)(text).unwrap().to_string(), printed);
        }
        for text in ["localhost", "10.0.0.0/33", "10.0.0", "10.0.0.0/"] {
            assert!((NETWORKS.parse)(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_in_the_form_of_the_other_version_is_in_its_network() {
        let networks = (NETWORKS.parse)("10.0.0.0/8,::1").unwrap();
        for (address, is_in) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", true),
            ("127.0.0.1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
        }
    }
}
