/** The user name that goes with a refresh token as password. Source: ACR semantics, "Methods". */
export const tokenUserName = '00000000-0000-0000-0000-000000000000';
