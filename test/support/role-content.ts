const everything =
  'pull push delete metadata_read metadata_write catalogList deletedCatalogList deleted_read deleted_restore quarantine_read quarantine_write';
const pulling = 'pull metadata_read catalogList';
const reading = `${pulling} deletedCatalogList deleted_read quarantine_read`;

/**
 * For tests: what each built-in role gives on content, with actions and with data actions; the others give nothing there.
 * Source: ACR semantics, 6.1 and 6.2.
 */
export const roleContent: Readonly<Record<string, readonly [legacy: string, repositories: string]>> = {
  Owner: [everything, ''],
  Contributor: [everything, ''],
  Reader: [reading, ''],
  'User Access Administrator': [reading, ''],
  'Role Based Access Control Administrator': [reading, ''],
  AcrPull: [pulling, ''],
  AcrPush: [`${pulling} push`, ''],
  AcrDelete: ['delete', ''],
  AcrQuarantineReader: ['quarantine_read', 'quarantine_read'],
  AcrQuarantineWriter: ['quarantine_read quarantine_write', 'quarantine_read quarantine_write'],
  'Container Registry Repository Reader': ['', 'pull metadata_read'],
  'Container Registry Repository Writer': ['', 'pull metadata_read push metadata_write'],
  'Container Registry Repository Contributor': ['', 'pull metadata_read push metadata_write delete'],
  'Container Registry Repository Catalog Lister': ['', 'catalogList'],
  'Container Registry Data Importer and Data Reader': [pulling, pulling],
};
