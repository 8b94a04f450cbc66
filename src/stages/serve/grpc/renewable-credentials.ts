import { ServerCredentials } from '@grpc/grpc-js';
import type { Credentials } from '../tls.js';

const oldest = { minVersion: 'TLSv1.2' } as const;

/** TLS whose certificate may be renewed while the server listens: connections from then on get the new one. */
export class RenewableCredentials extends ServerCredentials {
  constructor(credentials: Credentials) {
    super({}, { ...credentials, ...oldest });
  }

  renew(credentials: Credentials): void {
    this.updateSecureContextOptions({ ...credentials, ...oldest });
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
