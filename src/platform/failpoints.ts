/** Every point where a test can make the program die, wait or fail: `FAILPOINT=name:action`. */
export const failpointNames = [
  'blob.create.after',
  'blob.write.middle',
  'blob.fsync.before',
  'blob.fsync.after',
  'blob.rename.after',
  'blob.directory-fsync.after',
  'blob.commit.before',
  'blob.commit.after',
  'upload.offset.before',
  'upload.offset.after',
  'manifest.commit.before',
  'manifest.commit.after',
  'delete.commit.before',
  'delete.commit.after',
  'expiry.abort.after',
  'sweep.remove.before',
  'response.before',
] as const;
export type FailpointName = (typeof failpointNames)[number];

/** Awaited at each point; does nothing unless armed. */
export type Failpoint = (name: FailpointName) => Promise<void>;
