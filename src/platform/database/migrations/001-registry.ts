import { type Kysely, type Migration, sql } from 'kysely';
import type { Database } from '../database.ts';
import { TableMaker } from '../table-maker.ts';

/** The tables of schema.ts as the first release has them. */
export function registryMigration(kind: Database['kind']): Migration {
  return {
    up: async (db) => {
      const make = new TableMaker(db, kind);
      await createInstallation(make);
      await createPrincipals(db, make);
      await createRepositories(db, make);
      await createBlobs(db, make);
      await createJournal(make);
      await createAccessBatches(db, make);
      await createJobs(db, make);
    },
  };
}

async function createInstallation(make: TableMaker): Promise<void> {
  await make
    .plain('installation', {
      id: 'int64',
      installation_uid: 'text',
      tenant_uid: 'text',
      subscription_id: 'text',
      region: 'text',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('installation_key', ['id'])
    .addCheckConstraint('installation_one_row', sql`id = 1`)
    .execute();

  await make
    .keyed('tenants', { uid: 'text', tenant_id: 'text', access_epoch: 'int64', created_at: 'int64' })
    .addPrimaryKeyConstraint('tenants_key', ['uid'])
    .addUniqueConstraint('tenants_tenant_id', ['tenant_id'])
    .execute();

  await make
    .keyed('registries', {
      uid: 'text',
      tenant_uid: 'text',
      name: 'text',
      name_key: 'text',
      sku: 'text',
      is_admin_enabled: 'int64',
      is_anonymous_pull_enabled: 'int64',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('registries_key', ['uid'])
    .addUniqueConstraint('registries_name_key', ['name_key'])
    .addForeignKeyConstraint('registries_tenant', ['tenant_uid'], 'tenants', ['uid'])
    .execute();
}

async function createPrincipals(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('principals', {
      uid: 'text',
      tenant_uid: 'text',
      kind: 'text',
      login_key: 'text',
      registry_uid: 'text?',
      display_name: 'text',
      is_owner: 'int64',
      is_enabled: 'int64',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('principals_key', ['uid'])
    .addForeignKeyConstraint('principals_tenant', ['tenant_uid'], 'tenants', ['uid'])
    .addForeignKeyConstraint('principals_registry', ['registry_uid'], 'registries', ['uid'])
    .execute();
  // Principals outside any registry compete with each other too, which nulls would not; the login leads because a sign-in has it.
  await sql`create unique index principals_login on principals (login_key, coalesce(registry_uid, ''), tenant_uid)`.execute(
    db,
  );

  await make
    .plain('secrets', {
      uid: 'text',
      principal_uid: 'text',
      name: 'text',
      verifier: 'text',
      sealed: 'bytes?',
      expires_at: 'int64?',
      created_at: 'int64',
    })
    .addPrimaryKeyConstraint('secrets_key', ['uid'])
    .addForeignKeyConstraint('secrets_principal', ['principal_uid'], 'principals', ['uid'])
    .execute();
  await db.schema.createIndex('secrets_of_principal').on('secrets').column('principal_uid').execute();

  await make
    .plain('signing_keys', {
      uid: 'text',
      purpose: 'text',
      algorithm: 'text',
      public_jwk: 'text',
      sealed_private_jwk: 'bytes',
      created_at: 'int64',
      retires_at: 'int64',
      expires_at: 'int64',
    })
    .addPrimaryKeyConstraint('signing_keys_key', ['uid'])
    .execute();
}

async function createRepositories(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .keyed('repositories', {
      uid: 'text',
      registry_uid: 'text',
      name: 'text',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('repositories_key', ['uid'])
    .addUniqueConstraint('repositories_name', ['registry_uid', 'name'])
    .addForeignKeyConstraint('repositories_registry', ['registry_uid'], 'registries', ['uid'])
    .execute();

  await make
    .plain('manifests', {
      repository_uid: 'text',
      digest: 'text',
      media_type: 'text',
      artifact_type: 'text?',
      size: 'int64',
      subject_digest: 'text?',
      annotations: 'text?',
      created_at: 'int64',
      changed_at: 'int64',
      body: 'bytes',
    })
    .addPrimaryKeyConstraint('manifests_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint('manifests_repository', ['repository_uid'], 'repositories', ['uid'])
    .execute();
  await db.schema
    .createIndex('manifests_subject')
    .on('manifests')
    .columns(['repository_uid', 'subject_digest', 'digest'])
    .where(sql.ref('subject_digest'), 'is not', null)
    .execute();

  const manifestKey = ['repository_uid', 'digest'];
  await make
    .keyed('manifest_references', { repository_uid: 'text', manifest_digest: 'text', digest: 'text', kind: 'text' })
    .addPrimaryKeyConstraint('manifest_references_key', ['repository_uid', 'manifest_digest', 'digest'])
    .addForeignKeyConstraint(
      'manifest_references_manifest',
      ['repository_uid', 'manifest_digest'],
      'manifests',
      manifestKey,
      (constraint) => constraint.onDelete('cascade'),
    )
    .execute();
  await db.schema
    .createIndex('manifest_references_digest')
    .on('manifest_references')
    .columns(['repository_uid', 'digest'])
    .execute();

  await make
    .keyed('tags', {
      repository_uid: 'text',
      name: 'text',
      digest: 'text',
      hybrid_time: 'int64',
      region: 'text',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('tags_key', ['repository_uid', 'name'])
    .addForeignKeyConstraint('tags_manifest', ['repository_uid', 'digest'], 'manifests', manifestKey)
    .execute();
  await db.schema.createIndex('tags_digest').on('tags').columns(['repository_uid', 'digest']).execute();
}

async function createBlobs(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('blobs', {
      registry_uid: 'text',
      digest: 'text',
      storage_key: 'text',
      size: 'int64',
      stored_size: 'int64',
      format: 'text',
      scope: 'text',
      state: 'text',
      created_at: 'int64',
      grace_until: 'int64',
      checksums: 'bytes',
    })
    .addPrimaryKeyConstraint('blobs_key', ['registry_uid', 'digest'])
    .addUniqueConstraint('blobs_storage_key', ['storage_key'])
    .addForeignKeyConstraint('blobs_registry', ['registry_uid'], 'registries', ['uid'])
    .execute();

  await make
    .keyed('blob_links', { repository_uid: 'text', digest: 'text', created_at: 'int64' })
    .addPrimaryKeyConstraint('blob_links_key', ['repository_uid', 'digest'])
    .addForeignKeyConstraint('blob_links_repository', ['repository_uid'], 'repositories', ['uid'])
    .execute();
  await db.schema.createIndex('blob_links_digest').on('blob_links').columns(['digest', 'repository_uid']).execute();

  await make
    .plain('uploads', {
      uid: 'text',
      registry_uid: 'text',
      repository_uid: 'text',
      principal: 'text',
      algorithm: 'text',
      handle: 'text',
      offset: 'int64',
      parts: 'text',
      lease_owner: 'text?',
      lease_until: 'int64',
      fence: 'int64',
      created_at: 'int64',
      changed_at: 'int64',
      expires_at: 'int64',
    })
    .addPrimaryKeyConstraint('uploads_key', ['uid'])
    .execute();
  await db.schema.createIndex('uploads_expiry').on('uploads').column('expires_at').execute();
  await db.schema.createIndex('uploads_principal').on('uploads').columns(['registry_uid', 'principal']).execute();
}

async function createJournal(make: TableMaker): Promise<void> {
  await make
    .keyed('journal_heads', { stream: 'text', incarnation: 'text', seq: 'int64', hash: 'text', changed_at: 'int64' })
    .addPrimaryKeyConstraint('journal_heads_key', ['stream'])
    .execute();

  await make
    .plain('journal_events', {
      stream: 'text',
      incarnation: 'text',
      seq: 'int64',
      type: 'text',
      occurred_at: 'int64',
      hash: 'text',
      bytes: 'bytes',
    })
    .addPrimaryKeyConstraint('journal_events_key', ['stream', 'incarnation', 'seq'])
    .execute();

  await make
    .keyed('journal_cursors', {
      consumer: 'text',
      stream: 'text',
      incarnation: 'text',
      seq: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('journal_cursors_key', ['consumer', 'stream'])
    .execute();
}

async function createAccessBatches(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('access_batches', {
      stream: 'text',
      seq: 'int64',
      first_at: 'int64',
      last_at: 'int64',
      count: 'int64',
      hash: 'text',
      bytes: 'bytes',
    })
    .addPrimaryKeyConstraint('access_batches_key', ['stream', 'seq'])
    .execute();
  await db.schema.createIndex('access_batches_time').on('access_batches').column('last_at').execute();
}

async function createJobs(db: Kysely<unknown>, make: TableMaker): Promise<void> {
  await make
    .plain('jobs', {
      uid: 'text',
      kind: 'text',
      key: 'text',
      payload: 'text',
      state: 'text',
      run_at: 'int64',
      attempts: 'int64',
      lease_owner: 'text?',
      lease_until: 'int64',
      fence: 'int64',
      last_error: 'text?',
      created_at: 'int64',
      changed_at: 'int64',
    })
    .addPrimaryKeyConstraint('jobs_key', ['uid'])
    .execute();
  await sql`create unique index jobs_once on jobs (kind, key, state) where state <> 'failed'`.execute(db);
  await db.schema.createIndex('jobs_due').on('jobs').columns(['state', 'run_at']).execute();
}
