import type { SignedRequest, Verification, Verifier } from './request.ts';
import { type SignatureScheme, signatureSchemeSchema } from './scheme.ts';
import { decodeSecret } from './secret-key.ts';
import { prepareMacVerifier } from './verify-mac.ts';
import { prepareTokenVerifier } from './verify-token.ts';

/**
 * Prepares the check of one scheme's requests. The verifier is pure, never throws, compares in constant time and computes
 * one digest per secret whatever the request holds. Secrets that cannot be used are passed over (`findSecretProblems` names
 * them); without any it refuses everything. Throws, here, on a scheme that its schema refuses.
 */
export function prepareVerifier(definition: SignatureScheme, secrets: readonly string[]): Verifier {
  const scheme = signatureSchemeSchema.parse(definition);
  switch (scheme.mac) {
    case 'hmac':
    case 'hash':
      return prepareMacVerifier(scheme, secrets);
    case 'equals':
    case 'basic':
      return prepareTokenVerifier(scheme, secrets);
  }
}

/** As `prepareVerifier` for one request alone. */
export const verifySignature = (
  scheme: SignatureScheme,
  secrets: readonly string[],
  request: SignedRequest,
  nowMs: number,
): Verification => prepareVerifier(scheme, secrets)(request, nowMs);

/** What is wrong with each secret, by its index; never shows one. An empty list of secrets is a problem too. */
export function findSecretProblems(
  definition: SignatureScheme,
  secrets: readonly string[],
): readonly { readonly index: number; readonly problem: string }[] {
  const scheme = signatureSchemeSchema.parse(definition);
  if (secrets.length === 0) return [{ index: 0, problem: 'is missing: expected at least one secret' }];
  return secrets.flatMap((secret, index) => {
    if (scheme.mac === 'hmac' || scheme.mac === 'hash') {
      const key = decodeSecret(secret, scheme.secret);
      return key.ok ? [] : [{ index, problem: key.problem }];
    }
    if (secret === '') return [{ index, problem: 'is empty' }];
    return scheme.mac === 'basic' && !secret.includes(':') ? [{ index, problem: 'is not user:password' }] : [];
  });
}
