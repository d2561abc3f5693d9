/**
 * The error catalogue: one row per way a request can fail. `code` is what clients read on the wire, `status` the HTTP
 * status on the OCI surface, `message` what failed, `remedy` what would fix it (docs/reference/errors.md is generated from it).
 * Codes of the OCI surface: OCI distribution specification, "Error codes"; the rest as Azure Container Registry answers.
 */
export const errorCatalogue = {
  blobUnknown: {
    code: 'BLOB_UNKNOWN',
    status: 404,
    message: 'blob unknown to registry',
    remedy: 'Push the blob to this repository first, or check the digest.',
  },
  blobReferenced: {
    code: 'DENIED',
    status: 405,
    message: 'blob is referenced by a manifest of this repository',
    remedy: 'Delete the manifests that reference it first.',
  },
  blobDamaged: {
    code: 'BLOB_UNKNOWN',
    status: 404,
    message: 'the stored blob is damaged and was set aside',
    remedy: 'Push the same content again; that repairs it.',
  },
  uploadUnknown: {
    code: 'BLOB_UPLOAD_UNKNOWN',
    status: 404,
    message: 'blob upload unknown to registry',
    remedy: 'Start the upload again; sessions end when finished, cancelled or idle for too long.',
  },
  uploadInvalid: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 400,
    message: 'blob upload invalid',
    remedy: 'Start the upload again.',
  },
  uploadBusy: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 409,
    message: 'another request is writing to this blob upload',
    remedy: 'Wait for it to end, ask the upload for its range with GET, and go on from there.',
  },
  uploadRange: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 416,
    message: 'the chunk does not continue where the upload stands',
    remedy: 'Ask the upload for its range with GET and send the next byte after it.',
  },
  uploadTooMany: {
    code: 'TOOMANYREQUESTS',
    status: 429,
    message: 'too many blob uploads are open for this identity',
    remedy: 'Finish or cancel open uploads; idle ones expire.',
  },
  contentRangeInvalid: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 400,
    message: 'the Content-Range header format is invalid',
    remedy: 'Send Content-Range as "start-end", both inclusive.',
  },
  digestInvalid: {
    code: 'DIGEST_INVALID',
    status: 400,
    message: 'provided digest did not match uploaded content, or is malformed',
    remedy: 'Use sha256:<64 hex> or sha512:<128 hex> of exactly the bytes sent.',
  },
  sizeInvalid: {
    code: 'SIZE_INVALID',
    status: 400,
    message: 'provided length did not match content length',
    remedy: 'Send as many bytes as Content-Length and Content-Range announce.',
  },
  blobTooLarge: {
    code: 'SIZE_INVALID',
    status: 413,
    message: 'blob is larger than this registry accepts',
    remedy: 'Split the layer, or raise the limit in the settings.',
  },
  manifestUnknown: {
    code: 'MANIFEST_UNKNOWN',
    status: 404,
    message: 'manifest unknown to registry',
    remedy: 'Check the tag or digest, or push it first.',
  },
  manifestBlobUnknown: {
    code: 'MANIFEST_BLOB_UNKNOWN',
    status: 400,
    message: 'manifest references content this repository does not hold',
    remedy: 'Push every listed blob and manifest to this repository before the manifest that names them.',
  },
  manifestInvalid: {
    code: 'MANIFEST_INVALID',
    status: 400,
    message: 'manifest invalid',
    remedy: 'Push an OCI or Docker schema 2 manifest or index whose Content-Type agrees with its mediaType.',
  },
  manifestDamaged: {
    code: 'MANIFEST_UNKNOWN',
    status: 404,
    message: 'the stored manifest is damaged',
    remedy: 'Push the same manifest again; that repairs it.',
  },
  manifestTooLarge: {
    code: 'MANIFEST_INVALID',
    status: 413,
    message: 'manifest is larger than 4 MiB',
    remedy: 'Move large data out of the manifest into a blob.',
  },
  manifestSchema1: {
    code: 'MANIFEST_INVALID',
    status: 400,
    message: 'Docker manifest version 2 schema 1 is not supported',
    remedy: 'Push with a client from 2016 or newer, which sends schema 2 or OCI manifests.',
  },
  manifestReferenced: {
    code: 'DENIED',
    status: 405,
    message: 'manifest is referenced by an index of this repository',
    remedy: 'Delete the index first.',
  },
  nameInvalid: {
    code: 'NAME_INVALID',
    status: 400,
    message: 'invalid repository name',
    remedy: 'Use lower-case letters, digits, and . _ - / as separators, at most 255 characters.',
  },
  nameUnknown: {
    code: 'NAME_UNKNOWN',
    status: 404,
    message: 'repository name not known to registry',
    remedy: 'Check the name; a repository appears with its first manifest.',
  },
  tagInvalid: {
    code: 'TAG_INVALID',
    status: 400,
    message: 'invalid tag',
    remedy: 'Use letters, digits, and . _ - (not first), at most 128 characters.',
  },
  pageInvalid: {
    code: 'PAGINATION_NUMBER_INVALID',
    status: 400,
    message: 'invalid number of results requested',
    remedy: 'Use n from 0 to 1000, or leave it out.',
  },
  unauthorized: {
    code: 'UNAUTHORIZED',
    status: 401,
    message: 'authentication required',
    remedy: 'Sign in with docker login; after a failed sign-in check user name and password.',
  },
  insufficientScope: {
    code: 'UNAUTHORIZED',
    status: 401,
    message: 'authentication required: the access token does not cover this action',
    remedy: 'Ask the token endpoint for the scope in the challenge; sign in with an account that holds it.',
  },
  denied: {
    code: 'DENIED',
    status: 403,
    message: 'requested access to the resource is denied',
    remedy: 'Ask an owner of the registry for the missing action.',
  },
  tooManyAttempts: {
    code: 'TOOMANYREQUESTS',
    status: 429,
    message: 'too many failed sign-ins',
    remedy: 'Wait as long as Retry-After says, then sign in with the right password.',
  },
  tooManyRequests: {
    code: 'TOOMANYREQUESTS',
    status: 429,
    message: 'too many requests',
    remedy: 'Wait as long as Retry-After says and try again.',
  },
  unsupported: {
    code: 'UNSUPPORTED',
    status: 405,
    message: 'the operation is unsupported',
    remedy: 'See the compatibility page for what this route accepts.',
  },
  routeUnknown: {
    code: 'NOT_FOUND',
    status: 404,
    message: 'no such route',
    remedy: 'Check the address; the registry API lives under /v2/.',
  },
  requestInvalid: {
    code: 'BAD_REQUEST',
    status: 400,
    message: 'the request is malformed',
    remedy: 'Correct what the detail names.',
  },
  headersTooLarge: {
    code: 'BAD_REQUEST',
    status: 431,
    message: 'the request header fields are too large',
    remedy: 'Send fewer or shorter headers.',
  },
  bodyTooLarge: {
    code: 'SIZE_INVALID',
    status: 413,
    message: 'the request body is larger than this route accepts',
    remedy: 'Send a smaller body.',
  },
  tooSlow: {
    code: 'BLOB_UPLOAD_INVALID',
    status: 408,
    message: 'the request body arrived too slowly',
    remedy: 'Resume the upload over a faster connection.',
  },
  hostUnknown: {
    code: 'NAME_UNKNOWN',
    status: 421,
    message: 'no registry answers to this host name',
    remedy: 'Use a login server of this installation, or localhost for its default registry.',
  },
  registryUnknown: {
    code: 'NAME_UNKNOWN',
    status: 404,
    message: 'registry not known to this installation',
    remedy: 'Create the registry, or check its name.',
  },
  registryNameInvalid: {
    code: 'NAME_INVALID',
    status: 400,
    message: 'invalid registry name',
    remedy: 'Use 5 to 50 letters and digits that are not a reserved word.',
  },
  registryNameTaken: {
    code: 'CONFLICT',
    status: 409,
    message: 'a registry of this name exists already',
    remedy: 'Choose another name.',
  },
  busy: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the metadata database is busy or cannot be reached',
    remedy: 'Try again after the time in Retry-After.',
  },
  stopping: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the server is stopping',
    remedy: 'Try again; another server or the restarted one will answer.',
  },
  storageFull: {
    code: 'UNAVAILABLE',
    status: 507,
    message: 'the server has no storage left',
    remedy: 'Free space on the server, then push again.',
  },
  storageReadOnly: {
    code: 'UNAVAILABLE',
    status: 503,
    message: 'the storage of the server cannot be written',
    remedy: 'Ask the operator to make the storage writable, then push again.',
  },
  internal: {
    code: 'UNKNOWN',
    status: 500,
    message: 'the server failed',
    remedy: 'Try again; quote the correlation id to the operator.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorRow = {
  readonly code: string;
  readonly status: number;
  readonly message: string;
  readonly remedy: string;
};
export type ErrorName = keyof typeof errorCatalogue;

/** JSON that tells which thing an error is about; shown to the caller, so never a secret or a path of the server. */
export type ErrorDetail = string | Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[];

/** The one error class below `api`: names a catalogue row; rendered in one place per protocol. */
export class BerthError extends Error {
  readonly error: ErrorName;
  readonly detail: ErrorDetail | undefined;
  /** Seconds after which the same request can succeed; becomes `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    error: ErrorName,
    detail?: ErrorDetail,
    options: { readonly cause?: unknown; readonly retryAfterSeconds?: number } = {},
  ) {
    super(errorCatalogue[error].message, { cause: options.cause });
    this.name = 'BerthError';
    this.error = error;
    this.detail = detail;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
