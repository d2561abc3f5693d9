import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Clock } from '../clock.ts';
import type { Ids } from '../ids.ts';
import { createDurableFile } from '../keys/durable-file.ts';

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signatureAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;
const serialBytes = 16;

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Clients whose clocks are a little behind accept a new certificate. */
const backdateMs = hourMs;
const authorityDays = 20 * 365;
export const leafDays = 90;

/** A certificate with its key, and with the authority's certificate behind it, as a TLS server takes them. */
export type Leaf = { readonly certPem: string; readonly keyPem: string; readonly expiresMicros: number };

export type LeafNames = { readonly dns: readonly string[]; readonly ip: readonly string[] };

/** Issues certificates for the names of this installation. */
export type CertificateAuthority = {
  /** The file that clients put into their trust store. */
  readonly path: string;
  readonly certPem: string;
  readonly issue: (names: LeafNames) => Promise<Leaf>;
};

export type AuthorityParts = { readonly folder: string; readonly clock: Clock; readonly ids: Ids };

/** Reads `ca.pem` and `ca-key.pem` (mode 0600) in the folder, and makes what is missing: the key first, then its certificate. */
export async function openCertificateAuthority({ folder, clock, ids }: AuthorityParts): Promise<CertificateAuthority> {
  const path = join(folder, 'ca.pem');
  const keyPath = join(folder, 'ca-key.pem');
  const key = createPrivateKey(
    await readOrCreate(keyPath, async () => {
      const { privateKey } = await newKeyPair();
      createDurableFile({ path: keyPath, text: await pemOf(privateKey), mode: 0o600, ids });
    }),
  );
  const signingKey = await importSigningKey(key);
  const certPem = await readOrCreate(path, async () => {
    const text = await selfSigned(key, signingKey, { clock, ids });
    createDurableFile({ path, text, mode: 0o644, ids });
  });
  const certificate = new X509Certificate(certPem);
  return { path, certPem, issue: (names) => issueLeaf(certificate, signingKey, names, { clock, ids }) };
}

type Sources = { readonly clock: Clock; readonly ids: Ids };

async function selfSigned(key: KeyObject, signingKey: CryptoKey, { clock, ids }: Sources): Promise<string> {
  const publicKey = await importPublicKey(key);
  const name = `CN=Berth private CA ${Buffer.from(ids.bytes(4)).toString('hex')}`;
  const certificate = await X509CertificateGenerator.create({
    ...validity(clock, authorityDays),
    serialNumber: serialNumber(ids),
    subject: name,
    issuer: name,
    publicKey,
    signingKey,
    signingAlgorithm: signatureAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

async function issueLeaf(
  authority: X509Certificate,
  signingKey: CryptoKey,
  names: LeafNames,
  { clock, ids }: Sources,
): Promise<Leaf> {
  const { publicKey, privateKey } = await newKeyPair();
  const dates = validity(clock, leafDays);
  const certificate = await X509CertificateGenerator.create({
    ...dates,
    serialNumber: serialNumber(ids),
    subject: 'CN=Berth server',
    issuer: authority.subjectName,
    publicKey,
    signingKey,
    signingAlgorithm: signatureAlgorithm,
    extensions: await leafExtensions(authority, publicKey, names),
  });
  const certPem = `${certificate.toString('pem')}\n${authority.toString('pem')}\n`;
  return { certPem, keyPem: await pemOf(privateKey), expiresMicros: dates.notAfter.getTime() * 1000 };
}

async function leafExtensions(
  authority: X509Certificate,
  publicKey: CryptoKey,
  names: LeafNames,
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension([
      ...names.dns.map((value) => ({ type: 'dns' as const, value })),
      ...names.ip.map((value) => ({ type: 'ip' as const, value })),
    ]),
    await SubjectKeyIdentifierExtension.create(publicKey),
    await AuthorityKeyIdentifierExtension.create(await authority.publicKey.export()),
  ];
}

function validity(clock: Clock, days: number): { notBefore: Date; notAfter: Date } {
  const nowMs = clock.nowMicros() / 1000;
  return { notBefore: new Date(nowMs - backdateMs), notAfter: new Date(nowMs + days * dayMs) };
}

/** Positive and never shorter: the first bit is 0, the second 1. */
function serialNumber(ids: Ids): string {
  const [first = 0, ...rest] = ids.bytes(serialBytes);
  return Buffer.from([(first & 0x7f) | 0x40, ...rest]).toString('hex');
}

function newKeyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

function importSigningKey(key: KeyObject): Promise<CryptoKey> {
  return crypto.subtle.importKey('pkcs8', key.export({ format: 'der', type: 'pkcs8' }), keyAlgorithm, false, ['sign']);
}

function importPublicKey(privateKey: KeyObject): Promise<CryptoKey> {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return crypto.subtle.importKey('spki', spki, keyAlgorithm, true, ['verify']);
}

async function pemOf(privateKey: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', privateKey));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
}

async function readOrCreate(path: string, create: () => Promise<void>): Promise<string> {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
  }
  await create();
  return readFileSync(path, 'utf8');
}
