//! Whether the data folder outlives the container, as far as the kernel's list of mounts tells.

use std::{fmt, path::Path};

/// How long what is written to a folder stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lasting {
    /// No container: as long as the machine's disk.
    Machine,
    /// A volume or a folder of the host: longer than the container. With the file system's type.
    Volume(String),
    /// A volume without a name: compose carries it from one container to the next, `docker run` does not.
    Anonymous,
    /// A Kubernetes emptyDir: longer than the container, not longer than the pod.
    Pod,
    /// The container's own layer: gone with it.
    Container,
    /// Memory: gone at the next start.
    Memory,
    /// The system does not tell.
    Unknown,
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "on this machine's disk",
            Self::Volume(kind) => return write!(f, "on a volume ({kind}): it outlives the container"),
            Self::Anonymous => {
                "on a volume without a name: it outlives the container where compose makes the next one, and not where \
                 `docker run` does; give it a name (-v federation-agent:/var/lib/federation-agent)"
            }
            Self::Pod => "on an emptyDir: it outlives the container, but not the pod; a persistent volume would",
            Self::Container => {
                "in the container's own layer: it ends with the container, and what is under way when that is replaced \
                 is not settled by the next one; put a volume there"
            }
            Self::Memory => "in memory (tmpfs): it ends with the container or the machine; put a volume there",
            Self::Unknown => "and whether it outlives this container or machine is unknown",
        })
    }
}

/// A line of `/proc/self/mountinfo`, which proc(5) describes.
struct Mount<'a> {
    /// Which folder of the file system is mounted.
    root: &'a str,
    point: String,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (place, file_system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        Some(Self { root, point: unescape(point), kind: file_system.split(' ').next()? })
    }
}

/// How long what is written to `folder` lasts; `mounts` is the text of `/proc/self/mountinfo`, `folder` absolute and
/// without symbolic links, `marked` whether the container's runtime has left its mark.
pub fn lasting(mounts: &str, folder: &Path, marked: bool) -> Lasting {
    let all: Vec<_> = mounts.lines().filter_map(Mount::parse).collect();
    // Of two mounts on one folder the later one hides the earlier.
    let lies_on = all.iter().filter(|mount| folder.starts_with(&mount.point)).max_by_key(|mount| mount.point.len());
    let Some(mount) = lies_on else { return Lasting::Unknown };
    let is_root = |mount: &&Mount<'_>| mount.point == "/";
    let contained = marked || all.iter().rfind(is_root).is_some_and(|root| is_layer(root.kind));
    if matches!(mount.kind, "tmpfs" | "ramfs") {
        Lasting::Memory
    } else if is_layer(mount.kind) || (contained && mount.point == "/") {
        Lasting::Container
    } else if !contained {
        Lasting::Machine
    } else if mount.root.contains("/kubernetes.io~empty-dir/") {
        Lasting::Pod
    } else if is_anonymous(mount.root) {
        Lasting::Anonymous
    } else {
        Lasting::Volume(mount.kind.to_owned())
    }
}

/// The same for this process. Asks the kernel: it may block.
pub fn of(folder: &Path) -> Lasting {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Lasting::Unknown };
    // The folder itself may not be there: then the nearest one that is.
    let Some(folder) = folder.ancestors().find_map(|folder| folder.canonicalize().ok()) else {
        return Lasting::Unknown;
    };
    lasting(&mounts, &folder, is_contained())
}

/// Whether this process runs in a container whose runtime has left its mark.
pub fn is_contained() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"];
    marks.iter().any(|mark| Path::new(mark).exists())
}

/// The file systems that containers' own layers are made of.
fn is_layer(kind: &str) -> bool {
    matches!(kind, "overlay" | "fuse.fuse-overlayfs" | "fuse-overlayfs" | "aufs")
}

/// Docker's and Podman's name of a volume that was given none: 64 hexadecimal digits.
fn is_anonymous(root: &str) -> bool {
    let name = root.strip_suffix("/_data").and_then(|volume| volume.rsplit('/').next());
    name.is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Spaces, tabs, newlines and backslashes stand there as octal numbers.
fn unescape(point: &str) -> String {
    point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker 20.10 with fuse-overlayfs shows it within a container, but for the lines of `/proc`, `/dev` and `/sys`.
    const CONTAINER: &str = "69 45 0:39 / / rw,nodev,noatime master:2 - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0\n\
                             70 69 0:41 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n\
                             85 71 0:46 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k\n";

    fn of(mounts: &str) -> Lasting {
        lasting(mounts, Path::new("/var/lib/federation-agent/journal"), true)
    }

    fn with(mount: &str) -> Lasting {
        of(&format!("{CONTAINER}{mount}\n"))
    }

    #[test]
    fn each_way_to_mount_the_folder_is_told_apart() {
        let volume = "/var/lib/docker/volumes/182d1cf293bd9368af2bc5c2a434e1556e9344edfee020e77501bd3d6054b0d9/_data";
        let point = "/var/lib/federation-agent";
        assert_eq!(of(CONTAINER), Lasting::Container);
        let anonymous = format!("89 69 254:0 {volume} {point} rw,relatime master:1 - ext4 /dev/vda rw,discard");
        assert_eq!(with(&anonymous), Lasting::Anonymous);
        let named = format!("89 69 254:0 /var/lib/docker/volumes/jnamed/_data {point} rw,relatime - ext4 /dev/vda rw");
        assert_eq!(with(&named), Lasting::Volume("ext4".into()));
        let bind = format!("89 69 254:0 /srv/agent {point} rw,relatime - ext4 /dev/vda rw,discard");
        assert_eq!(with(&bind), Lasting::Volume("ext4".into()));
        let memory = format!("89 69 0:47 / {point} rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw");
        assert_eq!(with(&memory), Lasting::Memory);
        // After the documentation of Kubernetes and nfs(5): neither was at hand.
        let pod = "/var/lib/kubelet/pods/0f1e/volumes/kubernetes.io~empty-dir/data";
        assert_eq!(with(&format!("89 69 254:0 {pod} {point} rw,relatime - ext4 /dev/vda rw")), Lasting::Pod);
        let network = format!("89 69 0:51 / {point} rw,relatime shared:3 - nfs4 server:/agent rw,vers=4.2");
        assert_eq!(with(&network), Lasting::Volume("nfs4".into()));
    }

    #[test]
    fn outside_of_containers_it_is_the_machines_disk() {
        let host = "22 27 0:21 / /proc rw,relatime - proc proc rw\n27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
                    28 27 254:1 / /var\\040lib rw - xfs /dev/vdb rw\n";
        assert_eq!(lasting(host, Path::new("/var/lib/federation-agent"), false), Lasting::Machine);
        assert_eq!(lasting(host, Path::new("/var lib/agent"), false), Lasting::Machine);
        assert_eq!(
            lasting(host, Path::new("/var lib/agent"), true),
            Lasting::Volume("xfs".into()),
            "a space is escaped"
        );
        assert_eq!(of(host), Lasting::Container, "a layer that is not an overlay, with the runtime's mark");
        assert_eq!(of(""), Lasting::Unknown);
        assert_eq!(of("no such line\n1 2 3 - \n"), Lasting::Unknown);
    }

    #[test]
    fn later_and_deeper_mounts_hide_others() {
        let hidden = "1 1 0:1 / /var/lib/federation-agent rw - tmpfs tmpfs rw\n\
                      2 1 0:2 /srv/x /var/lib/federation-agent rw - xfs /dev/sdb rw\n";
        assert_eq!(with(hidden), Lasting::Volume("xfs".into()));
        assert_eq!(with("1 1 0:1 / /var/lib/federation rw - tmpfs tmpfs rw"), Lasting::Container, "not that folder");
    }
}
