"""Mount tables in the form in which kernels write them, with what users of such systems report."""

CONTAINER = r"""
493 484 0:54 / / rw,relatime master:136 - overlay overlay rw,lowerdir=/l/1,upperdir=/u
500 493 0:60 / /nfs3 rw,relatime - nfs 10.0.0.1:/export rw,vers=3,addr=10.0.0.1
501 493 0:61 /pvc-1 /nfs4 rw,relatime - nfs4 10.0.0.1:/export/pvc-1 rw,vers=4.2,clientaddr=10.0.0.2
502 493 0:62 / /cifs rw,relatime - cifs //10.0.0.3/share rw,vers=3.1.1,username=u
503 493 0:63 / /sshfs rw,nosuid,nodev - fuse.sshfs host:/data rw,user_id=0,group_id=0
504 493 0:64 / /s3fs rw,nosuid,nodev - fuse.s3fs s3fs rw,user_id=0,group_id=0,allow_other
505 493 0:65 / /gcs rw,nosuid,nodev - fuse.gcsfuse bucket rw,user_id=0,group_id=0
506 493 0:66 / /nine rw,relatime - 9p hostshare rw,access=client,trans=virtio
507 493 0:67 / /virtio rw,relatime - virtiofs share rw
508 493 254:1 /k/pods/1/volumes/kubernetes.io~empty-dir/work /bind rw,relatime - ext4 /dev/vda1 rw
509 493 254:2 / /stacked rw,relatime - ext4 /dev/vdb rw
510 509 0:61 / /stacked rw,relatime - nfs4 10.0.0.1:/export rw,vers=4.2
511 493 254:1 /k/c/..2026_01_31_12_00_00.2791/app.yaml /etc/app/app.yaml ro - ext4 /dev/vda1 rw
512 493 254:1 /k/pods/1/volume-subpaths/data/main/0 /sub rw,relatime - ext4 /dev/vda1 rw
513 493 254:1 /k/pods/1/volumes/kubernetes.io~configmap/whole /config ro - ext4 /dev/vda1 rw
"""
"""A container with one mount of each kind."""

POD = r"""
1432 1202 0:212 / / rw,relatime master:530 - overlay overlay rw,lowerdir=/l/1:/l/2,upperdir=/u
1440 1432 0:215 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=65536k
1441 1432 251:0 / /claim rw,relatime - ext4 /dev/rbd0 rw,stripe=16
1442 1432 253:7 / /local rw,relatime - xfs /dev/mapper/vg-pvc--7 rw,attr2,inode64,noquota
1443 1432 8:1 /var/lib/kubelet/pods/6f3a1c2e-8a51-4a0b-9d27-0c6c8f4f8c11/volumes/kubernetes.io~empty-dir/work /work rw,relatime - ext4 /dev/sda1 rw
1444 1432 8:1 /var/lib/kubelet/pods/6f3a1c2e-8a51-4a0b-9d27-0c6c8f4f8c11/volumes/kubernetes.io~configmap/app /config ro,relatime - ext4 /dev/sda1 rw
1445 1432 0:199 / /secret ro,relatime - tmpfs tmpfs rw,size=524288k,inode64
1446 1432 0:198 / /run/secrets ro,relatime - tmpfs tmpfs rw
1447 1432 0:233 / /share rw,relatime - nfs4 10.0.0.1:/export/pvc-1 rw,vers=4.1,hard,proto=tcp
1448 1432 0:234 / /bucket rw,nosuid,nodev,relatime - fuse.mountpoint-s3 mountpoint-s3 rw,user_id=0
1449 1432 0:235 / /ceph rw,relatime - ceph 10.0.0.7:6789:/volumes/csi/csi-vol-9 rw
1450 1432 8:1 /opt/local-path-provisioner/pvc-3_shop_data /path rw,relatime - ext4 /dev/sda1 rw
"""  # noqa: E501 - a line of the kernel is as long as it is
"""A pod with claims on RBD, LVM, NFS, CephFS and a local path, and with Kubernetes' volumes."""

DESKTOP = r"""
85 78 0:49 / / rw,relatime - overlay overlay rw,lowerdir=/l/1,upperdir=/u
276 85 0:46 /me/app /app rw,nosuid,nodev,relatime - fakeowner /run/host_mark/Users rw,fakeowner
277 85 0:47 /host_mnt/Users/me/old /old rw,nosuid,nodev - fuse.grpcfuse grpcfuse rw,user_id=0
278 85 0:48 /Users/me/older /older rw,nosuid,nodev - fuse.osxfs osxfs rw,user_id=0,allow_other
279 85 0:48 /Users/me/oldest /oldest rw,nosuid,nodev - osxfs osxfs rw,allow_other
280 85 254:1 /docker/volumes/app-cache/_data /cache rw,relatime - ext4 /dev/vda1 rw
"""
"""A container of Docker Desktop: folders of a Mac, by four generations of sharing; a volume."""

WINDOWS = r"""
29 27 8:32 / / rw,relatime shared:1 - ext4 /dev/sdc rw,discard,errors=remount-ro,data=ordered
90 29 0:40 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=65536,trans=fd,rfd=8,wfd=8
91 29 0:41 / /mnt/d rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=D:\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=262144,trans=virtio
92 29 0:42 / /mnt/e rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=E:\;uid=1000;gid=1000;symlinkroot=/mnt/,mmap,access=client,msize=262144,trans=virtio
93 29 0:43 / /mnt/f rw,noatime - drvfs F:\134 rw,noatime,case=off
94 29 0:44 / /Docker/host rw,noatime - 9p C:\134Program\040Files\134Docker rw,aname=drvfs;path=C:\Program Files\Docker;symlinkroot=/mnt/,cache=5,access=client,trans=fd
"""  # noqa: E501 - a line of the kernel is as long as it is
"""Linux on Windows: drives by 9p, as two versions name them, and by drvfs."""

MACHINE = r"""
30 1 0:26 /@ / rw,noatime shared:1 - btrfs /dev/sda2 rw,ssd,subvolid=256,subvol=/@
45 30 0:26 /@home /home rw,noatime shared:26 - btrfs /dev/sda2 rw,ssd,subvolid=257,subvol=/@home
46 30 259:1 / /boot/efi rw,relatime shared:27 - vfat /dev/sda1 rw,fmask=0077,utf8
47 30 8:17 / /media/usb rw,nosuid,nodev,relatime - exfat /dev/sdb1 rw,uid=1000,gid=1000
48 30 8:33 / /media/disk rw,nosuid,nodev,relatime - fuseblk /dev/sdc1 rw,user_id=0,allow_other
49 30 0:52 / /tank/in rw,relatime - zfs tank/in rw,xattr,posixacl
50 30 0:53 / /hosthome rw,nodev,relatime shared:130 - vboxsf /hosthome rw
51 30 0:54 / /media/psf/Home rw,nosuid,nodev,noatime - prl_fs none rw,sync,share
52 30 0:55 / /mnt/hgfs rw,nosuid,nodev - fuse.vmhgfs-fuse vmhgfs-fuse rw,user_id=0,allow_other
53 30 0:56 / /mnt/old-hgfs rw,relatime - vmhgfs .host:/ rw,ttl=1
54 30 0:57 / /gpfs rw,relatime - gpfs gpfs01 rw
55 30 0:58 / /panfs rw,noatime - panfs panfs://10.0.0.8/home rw
56 30 0:59 / /weka rw,relatime - wekafs backend-1/default rw,writecache,inode_bits=auto
57 30 0:60 / /acfs rw,relatime - acfs /dev/asm/data-1 rw
58 30 0:61 / /pvfs rw,relatime - pvfs2 tcp://10.0.0.9:3334/pvfs2-fs rw
59 30 0:62 / /dav rw,nosuid,nodev - fuse https://dav.example/in rw,user_id=0,allow_other
60 30 0:63 /srv/in /uml rw,relatime - hostfs none rw,/srv/in
61 30 0:64 / /auto rw,relatime shared:99 - autofs systemd-1 rw,fd=55,pgrp=1,timeout=0,direct
62 30 0:65 / /lustre rw,relatime - lustre 10.0.0.5@tcp:/scratch rw,flock,lazystatfs
63 30 0:66 / /gluster rw,relatime - fuse.glusterfs gluster-1:/in rw,user_id=0,allow_other
64 30 7:0 / /snap/core/1 ro,nodev,relatime shared:31 - squashfs /dev/loop0 ro,errors=continue
65 30 11:0 / /media/cdrom ro,nosuid,nodev - iso9660 /dev/sr0 ro,nojoliet,check=s,map=n
66 30 0:67 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
67 30 0:68 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=16G,mode=755
68 30 0:69 / /unheard rw,relatime - fs-of-tomorrow tomorrow rw
"""
"""A workstation with disks, and what hypervisors, clusters and stores mount; one unknown type."""
