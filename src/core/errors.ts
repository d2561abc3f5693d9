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
    arm: 'InvalidAuthenticationToken',
    status: 401,
    message: 'authentication required: sign in to this registry',
    remedy: 'Sign in with docker login.',
  },
  credentialsWrong: {
    code: 'UNAUTHORIZED',
    status: 401,
    message: 'authentication required: the user name, password or token is wrong or has expired',
    remedy: 'Check user name and password; a renewed password needs a new docker login.',
  },
  insufficientScope: {
    code: 'UNAUTHORIZED',
    status: 401,
    message: 'authentication required: the access token does not cover this action',
    remedy: 'Ask the token endpoint for the scope in the challenge; sign in with an account that holds it.',
  },
  denied: {
    code: 'DENIED',
    arm: 'AuthorizationFailed',
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
    arm: 'InvalidRequestContent',
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
    arm: 'ResourceNotFound',
    status: 404,
    message: 'registry not known to this installation',
    remedy: 'Create the registry, or check its name.',
  },
  registryNameInvalid: {
    code: 'NAME_INVALID',
    arm: 'InvalidResourceName',
    status: 400,
    message: 'invalid registry name',
    remedy: 'Use 5 to 50 letters and digits that are not a reserved word.',
  },
  registryNameTaken: {
    code: 'CONFLICT',
    arm: 'AlreadyInUse',
    status: 409,
    message: 'a registry of this name exists already',
    remedy: 'Choose another name.',
  },
  subscriptionUnknown: {
    code: 'NOT_FOUND',
    arm: 'SubscriptionNotFound',
    status: 404,
    message: 'the subscription is not known to this installation',
    remedy: 'Take the subscription of bootstrap.json, or list them with az account list.',
  },
  resourceGroupUnknown: {
    code: 'NOT_FOUND',
    arm: 'ResourceGroupNotFound',
    status: 404,
    message: 'the resource group does not exist',
    remedy: 'Create it first with az group create.',
  },
  resourceUnknown: {
    code: 'NOT_FOUND',
    arm: 'ResourceNotFound',
    status: 404,
    message: 'the resource does not exist',
    remedy: 'Check name and resource group.',
  },
  resourceTypeUnknown: {
    code: 'NOT_FOUND',
    arm: 'InvalidResourceType',
    status: 404,
    message: 'the resource type or action is not known to this installation',
    remedy: 'List the known types with az provider list.',
  },
  operationUnknown: {
    code: 'NOT_FOUND',
    arm: 'OperationNotFound',
    status: 404,
    message: 'the operation is not known or ended more than a day ago',
    remedy: 'Read the resource itself to see how it stands.',
  },
  apiVersionMissing: {
    code: 'BAD_REQUEST',
    arm: 'MissingApiVersionParameter',
    status: 400,
    message: 'the query parameter api-version is missing',
    remedy: 'Add api-version=YYYY-MM-DD to the address.',
  },
  apiVersionInvalid: {
    code: 'BAD_REQUEST',
    arm: 'InvalidApiVersionParameter',
    status: 400,
    message: 'the query parameter api-version is not a version',
    remedy: 'Use YYYY-MM-DD, with -preview behind it for a preview.',
  },
  filterInvalid: {
    code: 'BAD_REQUEST',
    arm: 'InvalidFilterInQueryString',
    status: 400,
    message: 'the query parameter $filter cannot be understood',
    remedy: "Use comparisons such as resourceType eq 'x', joined by and.",
  },
  resourceInvalid: {
    code: 'BAD_REQUEST',
    arm: 'InvalidParameter',
    status: 400,
    message: 'the resource as described in the request is not valid',
    remedy: 'Correct what the message names.',
  },
  resourceNameInvalid: {
    code: 'BAD_REQUEST',
    arm: 'InvalidResourceName',
    status: 400,
    message: 'the name is not allowed for this resource type',
    remedy: 'Choose a name of the form that the message tells.',
  },
  locationUnknown: {
    code: 'BAD_REQUEST',
    arm: 'LocationNotAvailableForResourceType',
    status: 400,
    message: 'the location is not one of this installation',
    remedy: 'Choose one of az account list-locations.',
  },
  locationFixed: {
    code: 'CONFLICT',
    arm: 'InvalidResourceLocation',
    status: 409,
    message: 'the resource exists in another location, which cannot change',
    remedy: 'Use its location, or another name.',
  },
  skuTooSmall: {
    code: 'BAD_REQUEST',
    arm: 'SkuNotSupported',
    status: 400,
    message: 'the SKU of the registry does not have this feature',
    remedy: 'Upgrade with az acr update --sku, or leave the feature off.',
  },
  skuBlocked: {
    code: 'CONFLICT',
    arm: 'DowngradeNotAllowed',
    status: 409,
    message: 'the registry uses features that the smaller SKU does not have',
    remedy: 'Turn off or delete what the message lists, then change the SKU.',
  },
  quotaExceeded: {
    code: 'CONFLICT',
    arm: 'QuotaExceeded',
    status: 409,
    message: 'the SKU of the registry allows no more of these',
    remedy: 'Delete some, or upgrade the SKU.',
  },
  scopeLocked: {
    code: 'CONFLICT',
    arm: 'ScopeLocked',
    status: 409,
    message: 'a lock forbids this',
    remedy: 'Remove the lock with az lock delete, then try again.',
  },
  resourceFailed: {
    code: 'CONFLICT',
    arm: 'ResourceDeploymentFailure',
    status: 409,
    message: 'the resource was written and could not be brought about',
    remedy: 'Read the details, mend what they name, and send the same request again.',
  },
  resourceLeaving: {
    code: 'CONFLICT',
    arm: 'ResourceBeingDeleted',
    status: 409,
    message: 'the resource is being deleted',
    remedy: 'Wait for the end of its deletion.',
  },
  templateInvalid: {
    code: 'BAD_REQUEST',
    arm: 'InvalidTemplate',
    status: 400,
    message: 'the deployment template is not valid',
    remedy: 'Correct the place in the template that the message names.',
  },
  deploymentRejected: {
    code: 'BAD_REQUEST',
    arm: 'InvalidTemplateDeployment',
    status: 400,
    message: 'the template describes resources that cannot be deployed',
    remedy: 'Correct what the details name, then deploy again.',
  },
  deploymentFailed: {
    code: 'CONFLICT',
    arm: 'DeploymentFailed',
    status: 409,
    message: 'at least one resource of the deployment failed',
    remedy: 'Read the details, correct the template, and deploy again: what is there already stays as it is.',
  },
  deploymentUnknown: {
    code: 'NOT_FOUND',
    arm: 'DeploymentNotFound',
    status: 404,
    message: 'the deployment does not exist',
    remedy: 'List those of the resource group with az deployment group list.',
  },
  deploymentActive: {
    code: 'CONFLICT',
    arm: 'DeploymentActive',
    status: 409,
    message: 'a deployment of this name is under way',
    remedy: 'Wait for its end, cancel it, or choose another name.',
  },
  deploymentEnded: {
    code: 'CONFLICT',
    arm: 'DeploymentCannotBeCancelled',
    status: 409,
    message: 'the deployment has ended and cannot be cancelled',
    remedy: 'Nothing is left to do.',
  },
  preconditionFailed: {
    code: 'CONFLICT',
    arm: 'PreconditionFailed',
    status: 412,
    message: 'the resource is not in the version that the request names',
    remedy: 'Read the resource again and decide anew.',
  },
  resourceNeeded: {
    code: 'CONFLICT',
    arm: 'OperationNotAllowed',
    status: 409,
    message: 'the installation itself needs the resource',
    remedy: 'Keep it, and delete other resources of its group one by one.',
  },
  moveUnsupported: {
    code: 'CONFLICT',
    arm: 'ResourceMoveNotSupported',
    status: 409,
    message: 'resources cannot be moved to another group or subscription',
    remedy: 'Create the resource there and import its content.',
  },
  clientSecretWrong: {
    code: 'UNAUTHORIZED',
    status: 401,
    oauth: 'invalid_client',
    aadsts: 7000215,
    message: 'invalid client secret provided, or no such application',
    remedy: 'Check application id and secret; a new secret is made with az ad sp credential reset.',
  },
  clientUnknown: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'unauthorized_client',
    aadsts: 700016,
    message: 'no application with this client id is known to the tenant',
    remedy: 'Check the client id, or register the application with az ad app create.',
  },
  assertionInvalid: {
    code: 'UNAUTHORIZED',
    status: 401,
    oauth: 'invalid_client',
    aadsts: 700027,
    message: 'the client assertion does not fit a credential of this application, or is not valid now',
    remedy: 'Check certificate or federated credential, audience and clock of the client.',
  },
  userPasswordWrong: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_grant',
    aadsts: 50126,
    message: 'invalid user name or password',
    remedy: 'Check user name and password.',
  },
  grantExpired: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_grant',
    aadsts: 70008,
    message: 'the code or refresh token is wrong, used up, expired or revoked',
    remedy: 'Sign in again.',
  },
  grantTypeUnknown: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'unsupported_grant_type',
    aadsts: 70003,
    message: 'the grant type is not supported',
    remedy: 'Use one of the grant types of the discovery document.',
  },
  loginRequestInvalid: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_request',
    aadsts: 900144,
    message: 'the sign-in request lacks a parameter or has a malformed one',
    remedy: 'Correct what the detail names.',
  },
  audienceUnknown: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_resource',
    aadsts: 500011,
    message: 'the resource that the scope names is not known to this installation',
    remedy: 'Ask for the resource manager, Graph or https://containerregistry.azure.net.',
  },
  outsideRefused: {
    code: 'DENIED',
    status: 403,
    oauth: 'access_denied',
    aadsts: 50105,
    message: 'the sign-in with the outside provider was refused',
    remedy: 'Ask the operator, or sign in with a user name and password.',
  },
  // Not 5xx: those are faults of this server.
  outsideUnreachable: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'temporarily_unavailable',
    message: 'the outside provider does not answer',
    remedy: 'Try again later, or sign in with a user name and password.',
  },
  outsideExpired: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_grant',
    aadsts: 50089,
    message: 'this sign-in is not under way in this browser any more',
    remedy: 'Begin again in the program that asked you to sign in.',
  },
  tenantUnknown: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_request',
    aadsts: 90002,
    message: 'the tenant is not known to this installation',
    remedy: 'Take the tenant id of bootstrap.json, or common.',
  },
  redirectInvalid: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'invalid_request',
    aadsts: 50011,
    message: 'the redirect URI is not registered for this application',
    remedy: 'Register it with az ad app update, or use http://localhost.',
  },
  crossSite: {
    code: 'DENIED',
    status: 403,
    oauth: 'access_denied',
    aadsts: 165000,
    message: 'the form did not come from a page of this server in this browser',
    remedy: 'Open the page again, allow its cookie, and send the form from there.',
  },
  devicePending: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'authorization_pending',
    aadsts: 70016,
    message: 'nobody has entered the device code yet',
    remedy: 'Enter the code on the page that was named, then wait.',
  },
  deviceDeclined: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'authorization_declined',
    aadsts: 70018,
    message: 'the sign-in with a device code was declined',
    remedy: 'Start it again.',
  },
  deviceExpired: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'expired_token',
    aadsts: 70020,
    message: 'the device code is wrong, used up or has expired',
    remedy: 'Start the sign-in again.',
  },
  deviceTooFast: {
    code: 'BAD_REQUEST',
    status: 400,
    oauth: 'slow_down',
    aadsts: 70017,
    message: 'the client asks too often about its device code',
    remedy: 'Wait for the interval between two questions.',
  },
  directoryObjectUnknown: {
    code: 'NOT_FOUND',
    status: 404,
    message: 'the directory has no such object',
    remedy: 'List the objects with az ad, and use an id from there.',
  },
  directoryObjectExists: {
    code: 'CONFLICT',
    status: 409,
    message: 'another object of the directory has this name or id',
    remedy: 'Choose another name, or change the object that exists.',
  },
  directoryObjectInvalid: {
    code: 'BAD_REQUEST',
    status: 400,
    message: 'the directory object as described in the request is not valid',
    remedy: 'Correct what the detail names.',
  },
  directoryObjectFixed: {
    code: 'DENIED',
    status: 403,
    message: 'this object belongs to the installation and cannot be changed here',
    remedy: 'Make one of your own for other purposes.',
  },
  directoryRightMissing: {
    code: 'DENIED',
    status: 403,
    message: 'Insufficient privileges to complete the operation',
    remedy: 'Sign in as an owner of the installation.',
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
  /** Code on the ARM surface; without one a general code of the status. */
  readonly arm?: string;
  /** `error` on the login surface; without one `invalid_request`. Source: RFC 6749, section 5.2; RFC 8628, section 3.5. */
  readonly oauth?: string;
  /** The AADSTS number that clients of the login surface know it by. */
  readonly aadsts?: number;
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
